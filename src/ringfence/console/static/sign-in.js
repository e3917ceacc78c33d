// A browser keeps a strict cookie back when a link on another page led here. Asked from this page, it sends it.

const answer = await fetch("/console/session?probe").catch(() => null);
if (answer?.status === 200) location.replace(location.pathname.startsWith("/console/sign-in") ? "/console" : location.pathname);
