/** Names, passwords and keys in URLs, which are for servers and for nobody else to read. */

/** What stands before the `@` of a host, as browsers read it. */
const USER = /^(https?:[\\/]*)[^\\/?#]*@/i;

/** A parameter with such a word in its name holds what lets one in. */
const KEY = /key|token|secret|pass|pwd|auth|credential|signature|^sig$/i;

/** Whether `text` is a URL with a name, a password, or a parameter that is called like a key. */
export function holdsSecret(text: string): boolean {
  if (!/^\s*https?:/i.test(text)) return false;
  if (USER.test(plain(text))) return true;
  return [...URL.parse(text)?.searchParams.keys() ?? []].some((name) => KEY.test(name));
}

/** The same without them, for messages: of a URL that holds one, nothing before the host and no parameters. */
export function hideSecret(text: string): string {
  return holdsSecret(text) ? plain(text).replace(USER, "$1…@").replace(/[?#].*$/, "?…") : text;
}

/** Without white space at the ends and the line ends and tabs that a URL's parser drops. */
function plain(text: string): string {
  return text.trim().replaceAll(/[\t\r\n]/g, "");
}
