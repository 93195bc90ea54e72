/**
 * What a message is about, in the order it is written in: nginx's is client, server, request, subrequest, upstream,
 * host, referrer. Each part has a name, a value as a byte string, and whether nginx puts it in quotes. The name
 * `while` stands for what was being done, and comes first: ` while connecting to upstream`.
 */
export type LogContext = readonly (readonly [name: string, value: string, quoted: boolean])[];

/** The context as the end of a line: ` while connecting to upstream, client: 127.0.0.1, request: "GET / HTTP/1.1"`. */
export function formatContext(context: LogContext | string): string {
  if (typeof context === 'string') return context;
  let text = '';
  for (const [name, value, quoted] of context) {
    if (name === 'while') text += ` while ${value}`;
    else text += quoted ? `, ${name}: "${value}"` : `, ${name}: ${value}`;
  }
  return text;
}
