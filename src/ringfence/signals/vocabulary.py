"""The words that say what is wanted, by kind. English first, then German, French, Spanish, Italian and others."""

from __future__ import annotations


class Kind:
    """What a word speaks for. Those up to `PLAN` are verbs.

    Plain numbers: members of an enumeration are slow to find, and these are looked up for every word.
    """

    SUMMARISE = 0
    CLASSIFY = 1
    EXTRACT = 2
    REWRITE = 3
    MAKE = 4
    WRITE = 5
    DESIGN = 6
    SOLVE = 7
    PROGRAM = 8
    MEND = 9
    ASK = 10
    EXPLAIN = 11
    """Questions that want more than a fact."""
    PLAN = 12
    A_PROGRAM = 13
    A_LANGUAGE = 14
    """Of programming, or so surely of it that one such word is enough."""
    A_WORK = 15
    """Poems, stories, slogans."""
    A_SYSTEM = 16
    MATHS = 17
    A_DOCUMENT = 18
    DEEP = 19
    HARDEST = 20
    LIGHT = 21
    NUMBERS = 22
    A_TEXT = 23
    """Letters, mails, posts: written as a matter of routine."""
    A_CHOICE = 24
    """The answer is one of a few words."""
    A_PICK = 25
    """The answer stands in what is shown."""
    A_LINE = 26
    """The answer is a sentence or a few."""
    A_FORM = 27
    """What is shown is to look different."""
    A_TONGUE = 28
    """A language that people speak."""
    TROUBLE = 29
    """Something does not work."""
    QUANTITY = 30
    A_MACHINE = 31
    """Programs that are hard to write."""


KINDS = 32


ANYWHERE: dict[int, str] = {
    Kind.SUMMARISE: """
        summarize summarise summarizing summarising summarized summary summaries condense condensed tldr recap
        synopsis precis gist takeaways digest abstract zusammenfassen zusammenfassung zusammenzufassen
        zusammengefasst fasse fass kurzfassung kernaussagen kernpunkte résume résumer résumez résumé-moi
        synthétise synthétiser résumes resume resumir resumen sintetiza resúmeme resúmelo shorten kürze
        raccourcis acorta wrap riassumi riassunto riassumere sintetizza resuma vat samenvatting streść
        podsumuj sammanfatta özetle перескажи резюмируй кратко
    """,
    Kind.CLASSIFY: """
        classify classifying classification classified categorize categorise categorizing sentiment spam ham
        intent toxicity toxic polarity urgency verdict true-or-false klassifiziere klassifizieren
        kategorisiere kategorisieren einordnen stimmung zuordnen classer classez classifie catégorise
        catégoriser clasifica clasificar clasifique categoriza sentimiento classifica classifique sentimento
        sklasyfikuj classificeer классифицируй определи
    """,
    Kind.EXTRACT: """
        extract extracting extraction extrahiere extrahieren extrais extraire extrayez extrae extraer extraiga
        estrai estrarre extraia fields haal wyodrębnij извлеки auslesen herauslesen heraussuchen
    """,
    Kind.REWRITE: """
        translate translating translation rephrase rephrased rewrite rewriting proofread paraphrase reword
        reformat copyedit transliterate reformatting anonymise anonymize redact übersetze übersetzen
        übersetzung übersetz umformulieren umformuliere formuliere korrigiere korrigieren umschreiben
        lektoriere traduis traduire traduisez traduction reformule reformuler reformulez corriger corrigez
        traduce traducir traduzca traducción tradúcelo reescribe reescribir reformula corrige corregir
        parafrasea traduci tradurre correggi riscrivi riformula traduza corrija reescreva tradueix vertaal
        herschrijf przetłumacz popraw översätt çevir переведи исправь перепиши
    """,
    Kind.SOLVE: """
        cross-examine convince
        prove disprove derive solve derivation proof deduce infer reconcile diagnose beweise beweisen berechne
        berechnen löse lösen herleiten leite begründe démontre démontrer prouve prouver calcule calculer
        résous résoudre déduis demuestra demostrar calcula calcular resuelve resolver dimostra calcola risolvi
        resolva demonstre bewijs bereken udowodnij oblicz докажи реши вычисли
    """,
    Kind.PROGRAM: """
        implement refactor refactoring debug debugging implementiere implementieren programmiere programmieren
        debugge refaktoriere implémente implémenter débogue débogage implementa implementar depura refactoriza
        reimplement dockerize vectorize monkeypatch transpile autocomplete
    """,
    Kind.EXPLAIN: """
        explain erkläre erklären erklär explique expliquer explica explicar explícame spiega difference
        unterschied différence diferencia worth advice advise recommend leg uitleggen wyjaśnij объясни
    """,
    Kind.A_MACHINE: """
        parser compiler interpreter collector allocator checker typechecker jit hypervisor raft solver
        raytracer emulator scheduler lock-free wait-free ring-buffer
    """,
    Kind.A_PROGRAM: """
        mock userscript b-tree btree trie playbook formel linked-list program programs programm tool ports
        comprehension dictionary dictionaries diff typed hints jpeg csv png regexes changelog manifest compose
        list-comprehension algorithm binary byte bytes cpu query's spreadsheets workflow app bot scraper
        website webpage server's function functions class method methods code codebase snippet query queries
        config endpoint bug compile docker kubernetes yaml json react component repo repository traceback
        exception cli cron shell commit branch merge struct array loop loops recursion decorator async await
        mutex thread threads iterator dataframe django flask fastapi spring node orm schema middleware
        variable variables parameter argument arguments module modules package import imports library
        framework linter debugger test tests stdin stdout localhost port env hash string strings integer
        boolean null nan undefined pointer buffer heap stack cache deploy pipeline login ssh token header
        headers backend frontend database spreadsheet formula macro cell cells sheet excel linux ubuntu
        terminal command commands script scripts plugin extension browser vm daemon timer socket websocket
        http https url file files directory path flag annotations callback promise props funktion klasse
        methode quellcode fehlermeldung befehl tabelle spalte abfrage datei ordner fonction classe méthode
        requête fichier commande tableau función clase método consulta código archivo comando tabla funzione
        codice funcția função functie
    """,
    Kind.A_LANGUAGE: """
        userscript sql-injection sql-injection-lücke vec fuzz zig js ts cron macro libreoffice kompiliert
        script skript bash-skript python-skript shell-skript regex regexp css html div dockerfile makefile
        bash quicksort zsh awk sed grep curl git github gitlab sql postgresql postgres mysql sqlite mongodb
        redis python javascript typescript java rust golang kotlin swift c# php ruby perl haskell scala
        powershell fortran cobol elixir clojure lua matlab vba ocaml vue svelte angular nextjs jquery tailwind
        webpack vite npm yarn pnpm pip pypi twine conda poetry cargo maven gradle pytest unittest jest junit
        pandas numpy pytorch tensorflow scikit sklearn terraform ansible helm kubectl nginx apache systemd
        systemctl crontab celery rabbitmq graphql grpc protobuf oauth jwt cors openssl libcrypto ldapsearch
        iptables rsync tmux vim emacs vscode sqlalchemy hibernate rails laravel symfony nodejs deno bun wasm
        cmake gcc clang llvm valgrind gdb asyncio goroutine segfault nullpointerexception typeerror valueerror
        keyerror stacktrace stderr subprocess usestate useeffect vlookup sverweis xlookup latex tikz arduino
        selenium playwright jinja backend-test
        skrypt skrypcie pythonie sha256sum md5sum sha256 md5 checksum gpg rustc javac
    """,
    Kind.A_WORK: """
        fiction flash-fiction novel chapter
        caption liebesbrief trabalenguas tongue-twister wizard tavern dragon haïku lustig lustige drôle
        divertido witzig witzige couplet thriller epigram gute-nacht-geschichte puppet improv raps anthem
        poetic poem poems poetry story stories tale tales haiku haikus sonnet limerick lyrics song songs
        ballad screenplay dialogue monologue slogan slogans tagline taglines fable villanelle fanfiction rap
        ode chapter novella short-story eulogy toast roast vows speech blurb sketch parody satire joke jokes
        pun puns jingle motto nickname stanza stanzas verse verses rhyme rhymes rhyming acrostic elegy epic
        myth legend fairytale lullaby bedtime comedy tragedy mystery backstory worldbuilding diary roleplay
        role-play limericks playwright scene protagonist villain narrator gedicht gedichte geschichte märchen
        lied liedtext kurzgeschichte drehbuch rede reim reime witz strophen trinkspruch poème poèmes conte
        chanson nouvelle scénario discours histoire blague poema cuento canción relato guion fábula eslogan
        eslóganes chiste discurso verso versos poesia racconto filastrocca storia canzone favola conto
        gedichtje verhaal wiersz bajka opowiadanie dikt şiir стих стихотворение сказку рассказ
    """,
    Kind.A_SYSTEM: """
        homelab nas gpus servers edge fleet
        sidecar authorisation authorization backups storage systemlandschaft composants setup components
        boundaries zero-trust data-model per-region databases clickhouse timescaledb cassandra dynamodb
        spanner nats serverless lambda microfrontends survive concurrent offline-first conflict architecture
        architectures microservices microservice infrastructure platform distributed scalable multi-tenant
        multitenant tenant tenants sharding sharded shard failover replication throughput event-driven saas
        monolith topology cluster clusters saga streaming kafka ingestion replicas consistency consistent
        offline multi-region region regions synchronisation synchronization sync load-balancer availability
        uptime idempotent crdt peer-to-peer iot fleet telemetry sensors terminals nodes leader quorum raft
        paxos exactly-once segregation isolation integrations integration layer layers services warehouse
        analytics bounded-context cqrs event-sourcing data-lake lakehouse datacenter gateway rollout legacy
        on-prem scale scaling subsystem subsystems architektur systemarchitektur verteiltes plattform
        infrastruktur warteschlange mandanten datenbank plateforme distribué arquitectura plataforma
        distribuido infraestructura architettura piattaforma arquitetura architectuur architektura архитектуру
    """,
    Kind.MATHS: """
        farmer fox goose regions premise premises fallacy inference inferences refute refutes
        knave lockers wolf goat cabbage ziege kohlkopf hats weighings doors knapsack nash demand capacity
        plants solution solutions odd even cheaper sum jug bloops interest rate theorem lemma integral
        derivative equation equations probability eigenvalue eigenvalues matrix polynomial prime primes modulo
        mod induction contradiction combinatorics convergence continuous differentiable bijection irrational
        inequality variance bayes bayesian logarithm puzzle riddle paradox liar liars lies truth knights
        knaves prisoners expected asymptotics closed-form equilibrium auction trisection triangle circle angle
        congruent integers infinitely coprime divisible odds dice coins constraints constraint sudoku chess
        logic logically subset permutation permutations mortgage compound loan percent velocity
        wahrscheinlichkeit gleichung satz ableitung primzahlen gruppe ordnung endliche rätsel probabilité
        théorème équation hypothèque prêt énigme probabilidad teorema ecuación derivada hipoteca acertijo
        probabilità equazione
    """,
    Kind.A_DOCUMENT: """
        document documents passage passages excerpt excerpts sources context retrieved citations citation
        manual handbook attached knowledge-base transcript contract policy dokument dokumente dokumenten
        quellen kontext auszug handbuch contexte extrait extraits contexto documento documentos fragmento
        contesto
    """,
    Kind.DEEP: """
        rigorous rigorously thorough thoroughly comprehensive trade-offs tradeoffs optimal optimise optimize
        concurrency concurrent deadlock race distributed scalability asymptotic edge-cases invariants
        invariant production-grade feasibility root-cause strategy strategic multi-step fault-tolerant
        in-depth thread-safe incremental polymorphism barriers memory-safe zero-copy ausführlich gründlich
        strategie nebenläufig rigoureux approfondi stratégie exhaustivo riguroso estrategia
    """,
    Kind.HARDEST: """
        novel byzantine theorem lemma formally conjecture unsolved topological cohomology linearizable
        exactly-once state-of-the-art research-level planet-scale petabyte petabytes impossibility verified
    """,
    Kind.LIGHT: """
        briefly brief quick quickly short simple simply basic one-liner tiny trivial kurz kurze kurzen einfach
        einfache schnell knapp bref brève brièvement simplement court breve brevemente sencillo corto rápido
    """,
    Kind.A_TEXT: """
        email e-mail mail letter post tweet invitation message cover announcement nachricht einladung courriel
        lettre correo carta mensaje
    """,
    Kind.A_CHOICE: """
        category categories label labels genre genres department priority tone polarity fake sarcastic sarcasm
        ironic urgent urgente offensive duplicate paraphrases entailment contradiction contradict contradicts
        emotion mood stance topic positive negative neutral positif négatif neutre positivo negativo neutro
        positiv negativ kategorie abteilung dringend catégorie catégories categoría optimistic pessimistic
        hybrid eligible plausible compliant
    """,
    Kind.A_TONGUE: """
        english german french spanish italian japanese chinese portuguese dutch polish russian latin catalan
        korean turkish swedish danish norwegian finnish czech greek arabic hindi ukrainian hungarian romanian
        vietnamese mandarin englisch deutsch französisch spanisch italienisch japanisch englische deutsche
        französische spanische italienische anglais allemand français espagnol italien japonais inglés alemán
        francés español italiano inglese tedesco francese spagnolo inglês alemão engels duits frans angielski
    """,
    Kind.TROUBLE: """
        latency grows doubles spikes error errors fails failed failing fail crash crashes crashing broken
        wrong slow faster exception bug bugs doesn't won't can't hangs stuck empty leak fehler fehl schlägt
        kaputt langsam geht bekomme erreur plante marche falla fallo errore denied refused undefined
        unexpected timeout mismatch freezes undo
    """,
}
"""Words that speak wherever they stand in what is asked."""

COMMANDS: dict[int, str] = {
    Kind.SUMMARISE: "abridge distill sum boil fasst minutes",
    Kind.CLASSIFY: """
        mark assign choose pick label tag rate detect decide determine grade score judge ordne bestimme
        bewerte détermine étiquette etiqueta indica
    """,
    Kind.EXTRACT: """
        tabulate list pull parse find identify collect get copy grab quote lies hole nenne finde liste trouve
        relève enumera encuentra saca trova elenca suche
    """,
    Kind.REWRITE: """
        phrase change expand sort correct convert format polish simplify edit transform turn spell render
        uppercase lowercase capitalize capitalise replace indent wandle vereinfache formatiere ändere ersetze
        convertis simplifie convierte simplifica pásalo pasa formatea mets transforme transforma put
    """,
    Kind.MAKE: """
        tell erzähle erzähl raconte cuenta racconta fais faites create generate make build give produce come
        develop draft prepare erstelle erstellen mach mache entwickle crée créer génère donne crea crear
        genera haz dame desarrolla
    """,
    Kind.WRITE: """
        write compose invent pen imagine pretend narrate continue schreib schreibe schreiben schreibst
        verfasse dichte erfinde reime écris écrire écrivez rédige rédiger invente escribe escribir redacta
        inventa imagina scrivi scrivere escreva schrijf napisz skriv yaz напиши сочини придумай
    """,
    Kind.DESIGN: """
        design architect propose outline sketch entwirf entwerfen gestalte konzipiere conçois concevoir diseña
        diseñar propón progetta
    """,
    Kind.SOLVE: """
        devise integrate minimise maximise differentiate factor argue justify measure rank calculate compute show
        determine analyze analyse evaluate optimize maximize minimize compare assess reason weigh work
        analysiere vergleiche untersuche zeige rechne évalue optimise montre analiza compara evalúa optimiza
        muestra analizza confronta estimate
    """,
    Kind.PROGRAM: "code compile test port migrate profile print codiere programme programmer programa programar",
    Kind.MEND: """
        fix improve review repair check add remove rename update speed behebe verbessere prüfe ergänze
        améliore ajoute vérifie arregla mejora añade revisa aggiungi
    """,
    Kind.ASK: """
        how wie comment cómo come what what's who when where which is are does do can whats wer wann wo welche
        welcher welches welchen hat quel quelle quels quelles qui quand où est qu qué cuál quién cuándo dónde
        es chi cosa quando quale
    """,
    Kind.EXPLAIN: "why warum wieso weshalb pourquoi por perché describe beschreibe should soll sollte",
    Kind.PLAN: "plan schedule organize organise plane planifie planifica organiza pianifica",
}
"""Words that speak only where they command: elsewhere they mean anything."""

POLITE = frozenset((
    "please", "can", "could", "you", "would", "kindly", "will", "i", "need", "want", "help", "me", "to", "hi",
    "hello", "hey", "now", "then", "ok", "okay", "so", "and", "also", "us", "let", "lets", "like", "d", "ll", "m",
    "just", "bitte", "kannst", "könntest", "können", "könnten", "du", "sie", "mir", "ich", "möchte", "brauche",
    "hallo", "und", "dann", "jetzt", "mal", "das", "s", "il", "te", "vous", "plaît", "plait", "peux", "pouvez",
    "pourrais", "tu", "je", "veux", "voudrais", "bonjour", "puis", "merci", "de", "q", "puedes", "podrías",
    "podría", "por", "favor", "quiero", "necesito", "hola", "y", "your", "task", "is", "job", "the", "a", "an",
    "dear", "assistant", "i'd",
))  # fmt: skip
"""Words before a command."""
SMALL_TALK = frozenset((
    "hi", "hello", "hey", "thanks", "thank", "you", "thx", "ok", "okay", "cool", "great", "good", "morning",
    "evening", "night", "bye", "cheers", "hallo", "danke", "moin", "servus", "merci", "bonjour", "salut", "hola",
    "gracias", "ciao", "grazie", "yes", "no", "yep", "nope", "sure", "lol", "how", "are", "today",
))  # fmt: skip
