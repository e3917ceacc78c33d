"""Facts for made documents: what they say, how one asks for them in the same words, and in other words."""

from __future__ import annotations

from random import Random

# what the document calls it | how somebody asks who does not know that name | the sort of value
FACTS = [
    tuple(part.strip() for part in line.split("|"))
    for line in """
session lifetime | How long may people stay logged in before they have to enter their password anew? | duration
connection pool size | How many database links can be open at once? | number
retry backoff ceiling | What is the longest pause between two attempts? | duration
nightly backup destination | Where do the copies of our data go each evening? | path
on-call engineer | Who answers the pager at present? | person
invoice due date | When does the bill have to be settled? | date
incident commander | Who led the response to the outage? | person
maximum upload size | How big a file will the server accept? | bytes
password rotation interval | How often must credentials be replaced? | duration
root cause commit | Which change broke it? | hash
cache eviction threshold | At what fill level are old entries thrown out? | percent
data retention period | For how long is customer information stored before it is erased? | duration
emergency shutoff valve | Where can the water be turned off if a pipe bursts? | place
tenancy termination notice | How far ahead must a renter say that they are moving out? | duration
vaccine storage temperature | How cold must the doses be kept? | temperature
prescribed dosage | How much of the medicine should the patient take? | amount
annual turnover | What did the company earn in the year? | money
lead investigator | Who headed the study? | person
sample population | How many people took part in the trial? | number
delivery address | Where should the parcel be brought? | place
signing certificate expiry | When do we need to renew the TLS credentials? | date
licence fee | What do we pay for the right to use it? | money
warranty coverage | How long does the maker repair it free of charge? | duration
speed restriction | How fast may one drive there? | speed
rollout deadline | By when must everybody have the new version? | date
heap allocation | How much memory does the program reserve? | bytes
worker concurrency | How many jobs run side by side? | number
log verbosity file | Where is it configured how chatty the output is? | path
founding year | When was it set up? | date
hull displacement | How heavy is the ship? | amount
mean rainfall | How much water falls from the sky there? | amount
contract counterparty | Who is the other side of the agreement? | person
escrow balance | What sum is held by the trustee? | money
encryption key custodian | Who looks after the secret that unlocks the disks? | person
failover region | Where does traffic move if the main site goes dark? | place
rate limiter quota | How many calls may a client make before it is refused? | number
build artefact bucket | Where do compiled packages end up? | path
rehearsal venue | Where does the orchestra practise? | place
chief arborist | Who decides which trees are felled? | person
yeast fermentation period | How long does the dough have to rise? | duration
ticket escalation window | After what time does a complaint reach the boss? | duration
checksum mismatch block | Which part of the file was damaged? | hash
replica lag | How far behind is the standby copy? | duration
feature flag owner | Who can switch the experiment off? | person
quorum requirement | How many members must be present for a vote to count? | number
parking surcharge | What extra does it cost to leave the car? | money
bridge clearance | How tall may a lorry be to pass below? | amount
tensile strength | How hard can one pull the cable until it snaps? | amount
gradient clipping norm | Above what length are updates scaled down in training? | number
mesh gateway port | Where do the nodes listen for one another? | number
grace allowance | How many minutes late may staff come? | duration
archive curator | Who tends the old papers? | person
recall batch | Which lot has to be sent back by shops? | hash
evacuation assembly point | Where does everyone gather if the alarm sounds? | place
broadcast frequency | Where on the dial is the station found? | number
orbital inclination | How tilted is the path of the satellite? | amount
reserve price | What is the least the auction house will accept? | money
tax identifier | Under which number do the authorities know the firm? | hash
heartbeat timeout | After what silence is a node taken for dead? | duration
manuscript submission closing | Until when can authors hand in their text? | date
""".strip().splitlines()
]

SUBJECTS = (
    "Kestrel Orchard Harbour Lumen Tundra Saffron Basalt Quill Meridian Juniper Cobalt Heron Thistle Marlow Ember Delft "
    "Pinnacle Sorrel Atlas Vega Bramble Fathom Osprey Calder Nimbus Rowan Tamar Zephyr Ingot Cedar"
).split()
FIRST = "Marta Ilse Bogdan Priya Tomás Wanjiru Noor Sigrid Haruto Elif Dmitri Chiara Kwame Leilani Rafael Anouk".split()
LAST = "Lindqvist Okafor Petrov Castellano Nakamura Haddad Brandt Mbeki Villeneuve Sørensen Tiwari Quispe Novak".split()
STREETS = "Canal Mill Foundry Abbey Quarry Lantern Weaver Cooper Linden Tannery Viaduct Orchard".split()
FOLDERS = "srv mnt var opt export vault depot stash data pool".split()

SAME = (
    "What is the {a} of {s}?", "{s}: {a}?", "Tell me the {a} for {s}.", "I need to know the {a} that {s} has.",
    "Please look up {a} in {s} and explain.", "which {a} was agreed for {s}", "Do we know {s}'s {a}?",
)  # fmt: skip
OTHER = ("{b}", "{b} It is about {s}.", "For {s}: {b}", "{b} (I mean {s})", "Can you find out for me: {b}", "{s} - {b}")


def a_value(kind: str, rng: Random) -> str:
    """A value of a sort; long enough to stand nowhere else."""
    n = rng.randint(1013, 9887)
    unit = {
        "duration": ("seconds", "minutes", "ms", "hours", "days"), "amount": ("kg", "mm", "mg", "tonnes", "degrees"),
        "bytes": ("MiB", "KB", "GiB"), "speed": ("km/h", "mph"), "temperature": ("K", "mK"), "number": ("",),
    }  # fmt: skip
    if kind in unit:
        return f"{n} {rng.choice(unit[kind])}".strip()
    if kind == "money":
        return rng.choice((f"{n},{rng.randint(100, 999)} euros", f"${n}.{rng.randint(10, 99)}", f"CHF {n}"))
    if kind == "percent":
        return f"{n / 100} %"
    if kind == "date":
        month = rng.choice(("March", "July", "October", "February"))
        return rng.choice((f"{rng.randint(1, 28)} {month} {n}", f"{n}-0{rng.randint(1, 9)}-{rng.randint(10, 28)}"))
    if kind == "person":
        return f"{rng.choice(FIRST)} {rng.choice(LAST)}-{rng.choice(LAST)}"
    if kind == "hash":
        return f"{rng.getrandbits(40):010x}"
    if kind == "path":
        return f"/{rng.choice(FOLDERS)}/{rng.choice(FOLDERS)}-{n}/{rng.choice(FOLDERS)}"
    return f"{n} {rng.choice(STREETS)} {rng.choice(('Street', 'Lane', 'Road', 'Quay'))}"


def a_question(name: str, other: str, subject: str, paraphrase: bool, rng: Random) -> str:
    if paraphrase:
        return rng.choice(OTHER).format(b=other, s=subject)
    return rng.choice(SAME).format(a=name, s=subject)
