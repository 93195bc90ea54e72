/** `client_body_early_read`: the request's body is read before anything else is done with the request. */
import type { Exchange } from './exchange.ts';
import { readRequestBody, refusesBody } from './request-body.ts';
import type { Template } from './template.ts';

/**
 * Reads the body of a request that is to be read early, and then lets the request go its way.
 * @param conditions it is where one of them has a value that is neither empty nor "0"
 * @returns false where it is not, and nothing has happened
 */
export function readsBodyEarly(exchange: Exchange, conditions: readonly Template[]): boolean {
  if (!conditions.some((condition) => holds(condition.evaluate(exchange)))) return false;
  // The server's settings hold: no location has been chosen.
  if (!refusesBody(exchange)) readRequestBody(exchange, () => exchange.site.run(exchange));
  return true;
}

function holds(value: string): boolean {
  return value !== '' && value !== '0';
}
