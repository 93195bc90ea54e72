import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addBodyFilter,
  addOutermostBodyFilter,
  BodyFilter,
  carrierHasRoom,
  dropBodyFilters,
} from '../../src/core/body-filter.ts';
import type { Carrier } from '../../src/core/carrier.ts';
import { Exchange } from '../../src/core/exchange.ts';

/** As much of an exchange as a chain of filters looks at, with a carrier that notes what it is told. */
function exchangeWith(events: string[]): Exchange {
  const carrier = {
    write(chunk: Buffer | string): boolean {
      events.push(`carrier ${chunk}`);
      return false;
    },
    flush: () => void events.push('flush'),
    end: () => void events.push('end'),
    abort: () => void events.push('abort'),
  } as unknown as Carrier;
  return Object.assign(Object.create(Exchange.prototype) as Exchange, {
    carrier,
    output: carrier,
    innermostFilter: undefined,
    released: false,
    onDrain: () => void events.push('room'),
    onAbort: undefined,
  });
}

class Marker extends BodyFilter {
  readonly mark: string;
  readonly events: string[];

  constructor(exchange: Exchange, mark: string, events: string[]) {
    super(exchange);
    this.mark = mark;
    this.events = events;
  }

  override write(chunk: Buffer | string): boolean {
    if (String(chunk).includes('bad')) return this.fail();
    return this.next.write(`${chunk}${this.mark}`);
  }

  override onRoom(): void {
    this.events.push(`room ${this.mark}`);
    this.tellRoom();
  }
}

test('the body goes through filters in the order in which they were added, and room is told the other way', () => {
  const events: string[] = [];
  const exchange = exchangeWith(events);
  addBodyFilter(exchange, new Marker(exchange, '1', events));
  addBodyFilter(exchange, new Marker(exchange, '2', events));
  addOutermostBodyFilter(exchange, new Marker(exchange, '0', events));
  assert.equal(exchange.output.write('a'), false);
  exchange.output.flush();
  carrierHasRoom(exchange);
  exchange.output.end();
  assert.deepEqual(events, ['carrier a012', 'flush', 'room 2', 'room 1', 'room 0', 'room', 'end']);
});

test('without filters the body goes to the carrier, and room is told at once', () => {
  const events: string[] = [];
  const exchange = exchangeWith(events);
  carrierHasRoom(exchange);
  addOutermostBodyFilter(exchange, new Marker(exchange, '0', events));
  exchange.output.write('a');
  dropBodyFilters(exchange);
  exchange.output.write('b');
  carrierHasRoom(exchange);
  assert.deepEqual(events, ['room', 'carrier a0', 'carrier b', 'room']);
});

test('a filter that fails ends the connection; nothing that is written then goes anywhere, and nobody is told', () => {
  const events: string[] = [];
  const exchange = exchangeWith(events);
  addBodyFilter(exchange, new Marker(exchange, '1', events));
  addBodyFilter(exchange, new Marker(exchange, '2', events));
  const outermost = exchange.output;
  assert.equal(outermost.write('bad'), false);
  assert.equal(exchange.ended, true);
  assert.equal(exchange.complete, false);
  outermost.write('more');
  exchange.output.write('more');
  exchange.output.end();
  carrierHasRoom(exchange);
  assert.deepEqual(events, ['abort']);
});

test('a filter that fails inside another one is written to no more', () => {
  const events: string[] = [];
  const exchange = exchangeWith(events);
  const outer = new Marker(exchange, '1', events);
  const inner = new Marker(exchange, '2', events);
  addBodyFilter(exchange, outer);
  addBodyFilter(exchange, inner);
  inner.write('bad');
  assert.equal(outer.write('more'), false);
  outer.end();
  assert.deepEqual(events, ['abort']);
});
