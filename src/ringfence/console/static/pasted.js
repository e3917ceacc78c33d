// What was pasted: a prompt, the JSON of a request, or a curl command. It is read here, and only its body goes on.

const DATA = /^(?:(-d|-H)([^]*)|(--data(?:-raw|-binary|-ascii)?|--json|--header)(?:=([^]*))?)$/;
const TAKEN = /^x-ringfence-(agent|profile|label|priority)\s*:\s*(.*?)\s*$/i;
const PART = /'([^']*)'|\$'((?:[^'\\]+|\\[^])*)'|"((?:[^"\\]+|\\[^])*)"|\\\r?\n|\\([^])|([^\s'"\\$|;&<>]+|\$)|([^])/y;
const HERE = /<<-?\s*(['"]?)(\w+)\1[^\n]*\n([^]*?)\n\s*\2\b/;

/** Why a text cannot be taken as what it seems to be. `at` is where in the field, -1 where that cannot be said. */
export class Unreadable extends Error {
  constructor(message, at = -1) {
    super(message);
    this.at = at;
  }
}

/** {kind: "prompt" | "json" | "curl", body, headers}; throws Unreadable. */
export function pasted(text) {
  const command = /^\s*(?:\$\s+)?curl\s+/.exec(text);
  if (command) return fromCurl(text, command[0].length);
  if (/^\s*(\{|\[\s*\{)/.test(text)) return { kind: "json", body: parsed(text, "", 0), headers: {} };
  return asPrompt(text);
}

export const asPrompt = (text) => ({ kind: "prompt", body: { messages: [{ role: "user", content: text }] }, headers: {} });

function parsed(text, whose, start) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    const [at, why] = fault(text);
    const before = text.slice(0, at).split("\n");
    throw new Unreadable(`${whose}Not valid JSON at line ${before.length}, column ${before.at(-1).length + 1}: ${why}.`, start < 0 ? -1 : start + at);
  }
  if (Array.isArray(body) && body.every((one) => one?.role)) return { messages: body };
  if (body === null || typeof body !== "object" || Array.isArray(body)) throw new Unreadable(`${whose}This JSON is no object: a request is one, with its messages in it.`);
  return body;
}

// -- curl

function fromCurl(text, begin) {
  const args = words(text, begin);
  const sent = [], headers = {};
  for (let place = 0; place < args.length; place += 1) {
    const found = DATA.exec(args[place]);
    if (!found) continue;
    const name = found[1] ?? found[3];
    const value = (found[2] || found[4]) ?? args[place += 1] ?? "";
    if (name !== "-H" && name !== "--header") sent.push(content(name, value, text));
    else if (TAKEN.test(value)) {
      const [, header, said] = TAKEN.exec(value);
      const known = headers[header.toLowerCase()];
      headers[header.toLowerCase()] = known && header.toLowerCase() === "label" ? `${known}, ${said}` : said;
    }
  }
  if (!sent.length) throw new Unreadable("This command sends no body: it has none of -d, --data and --json.");
  return { kind: "curl", body: parsed(sent.join("&"), "The data of this command: ", -1), headers };
}

function content(name, value, text) {
  if (value[0] !== "@" || name === "--data-raw") return value;
  const here = value === "@-" && HERE.exec(text);
  if (!here) throw new Unreadable(`The body of this command is in ${value === "@-" ? "its standard input" : `the file ${value.slice(1)}`}, which this page cannot read: paste what is in it.`);
  return here[3];
}

/** The arguments of the first command, as a shell would hand them over. */
function words(text, begin) {
  const found = [];
  let word = null;
  for (PART.lastIndex = begin; PART.lastIndex < text.length;) {
    const at = PART.lastIndex;
    const [part, single, dollar, double, escaped, plain, other] = PART.exec(text);
    if (other === "'" || other === '"') throw new Unreadable(`The quote that begins in line ${text.slice(0, at).split("\n").length} is not closed.`, at);
    if (other !== undefined) {
      if (word !== null) found.push(word);
      word = null;
      if (/[\n|;&<>]/.test(other)) break;
    } else if (!/^\\\r?\n$/.test(part)) {
      word = (word ?? "") + (single ?? plain ?? escaped ?? double?.replace(/\\(\r?\n|[$`"\\])/g, (_, one) => (one.endsWith("\n") ? "" : one)) ?? ansi(dollar));
    }
  }
  return word === null ? found : [...found, word];
}

const ansi = (text) => text.replace(/\\(u[\da-fA-F]{4}|x[\da-fA-F]{2}|[^])/g, (_, one) =>
  one.length > 1 ? String.fromCharCode(parseInt(one.slice(1), 16)) : { n: "\n", r: "\r", t: "\t" }[one] ?? one);

// -- where it stops being JSON: browsers differ in whether they tell

const PIECE = /([{}[\],:])|("(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*")|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const WANTED = { V: "a value", F: "a value or ]", K: "a name in double quotes or }", k: "a name in double quotes", C: "a colon", N: "a comma, or the bracket that closes", E: "nothing more" };

/** [where, why] */
export function fault(text) {
  const open = [];
  let want = "V", at = 0;
  for (;;) {
    while (/[ \t\r\n]/.test(text[at] ?? "")) at += 1;
    if (at >= text.length) return [at, `it ends before ${WANTED[want]}`];
    PIECE.lastIndex = at;
    const [piece, mark, string] = PIECE.exec(text) ?? [];
    const inside = open.at(-1);
    if (!piece) return [at, text[at] === '"' ? "this string is not closed, or has a line break or a wrong \\ in it" : `${WANTED[want]} is expected`];
    if ((mark === "{" || mark === "[") && /[VF]/.test(want)) {
      open.push(mark);
      want = mark === "{" ? "K" : "F";
    } else if (!mark && /[VF]/.test(want)) want = inside ? "N" : "E";
    else if (string && /k/i.test(want)) want = "C";
    else if (mark === ":" && want === "C") want = "V";
    else if (mark === "," && want === "N") want = inside === "{" ? "k" : "V";
    else if (inside && mark === { "{": "}", "[": "]" }[inside] && (want === "N" || want === { "{": "K", "[": "F" }[inside])) {
      open.pop();
      want = open.length ? "N" : "E";
    } else return [at, `${WANTED[want]} is expected`];
    at += piece.length;
  }
}
