import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawChart } from '../../native-bench/chart.ts';
import { type Report, type Series, summarize } from '../../native-bench/results.ts';
import { plainSetup } from '../../native-bench/setup.ts';
import { formatTable } from '../../native-bench/table.ts';
import { swept, workloads } from '../../native-bench/workloads.ts';

const keepalive = workloads.find((each) => each.name === 'keepalive')!;
const accessLog = workloads.find((each) => each.name === 'access-log')!;

function series(peer: string, costs: number[], setup = plainSetup, trouble: string[] = []): Series {
  return {
    peer,
    setup,
    turns: costs.map((cost, round) => ({ cost, trouble: trouble[round] ?? '', memory: 1024 })),
  };
}

test('the ratio to nginx is the median of the ratios within each round', () => {
  const { lines } = summarize({
    workload: keepalive,
    placement: '',
    series: [series('portico', [20, 60, 22]), series('nginx', [10, 30, 10])],
    failures: [],
  });
  assert.equal(lines[0].cost, 22);
  assert.equal(lines[0].ratioToNginx, 2);
  assert.equal(lines[1].ratioToNginx, 1);
});

test('an invalid turn counts for nothing, and is shown with its reason', () => {
  const report = summarize({
    workload: keepalive,
    placement: '',
    series: [
      series('portico', [20, 1, 22], plainSetup, ['', '7 reads failed', '']),
      series('nginx', [10, 10, 11]),
    ],
    failures: [],
  });
  assert.equal(report.lines[0].cost, 21);
  assert.equal(report.lines[0].ratioToNginx, 2);
  assert.match(formatTable(report), /INVALID: portico: 1 of 3 turns \(7 reads failed\)/);
});

test('what a log adds is compared with what it adds to nginx', () => {
  const [without, withLog] = accessLog.setups;
  const { lines } = summarize({
    workload: accessLog,
    placement: '',
    series: [
      series('portico', [20, 21], without),
      series('nginx', [10, 10], without),
      series('portico', [26, 27], withLog),
      series('nginx', [13, 13], withLog),
    ],
    failures: [],
  });
  assert.equal(lines[2].added, 6);
  assert.equal(lines[2].addedRatioToNginx, 2);
  assert.equal(lines[2].ratioToNginx, (26 / 13 + 27 / 13) / 2);
  assert.ok(Number.isNaN(lines[0].added));
});

test('a sweep gives a workload one setup for each value', () => {
  const { setups } = swept(keepalive, { setting: 'worker_connections', values: [256, 1024] });
  assert.deepEqual(
    setups.map(({ label, connections }) => [label, connections]),
    [
      ['worker_connections=256', 256],
      ['worker_connections=1024', 1024],
    ],
  );
});

/** A report of so many workloads that look alike. */
function reportOf(count: number): Report {
  const workload = summarize({
    workload: keepalive,
    placement: '',
    series: [series('portico', [20]), series('nginx', [10])],
    failures: [],
  });
  return {
    date: '2026-01-02T03:04:05.000Z',
    command: '',
    machine: {
      processor: 'A & B <fast>',
      cores: 2,
      memoryMegabytes: 1,
      kernel: '6',
      system: '',
      loadBefore: 0,
    },
    versions: { nginx: '1' },
    backend: 'nginx',
    method: { rounds: 1, seconds: 1, warmUp: 1 },
    notes: [],
    workloads: Array.from({ length: count }, () => workload),
  };
}

test('the chart is well-formed, with a bar for each line and names escaped', () => {
  const chart = drawChart(reportOf(1));
  assert.equal(chart.match(/<path /g)?.length, 2);
  assert.match(chart, /A &amp; B &lt;fast&gt;/);
  assert.match(chart, />2\.00<\/text>\n.*>20\.0 us\/request<\/text>/);
  assert.equal(chart.match(/<text/g)?.length, chart.match(/<\/text>/g)?.length);
});

test('a chart of many workloads has two columns, and is wider and not twice as high', () => {
  const sizeOf = (chart: string) => /width="(\d+)" height="(\d+)"/.exec(chart)!.slice(1).map(Number);
  const [narrow, low] = sizeOf(drawChart(reportOf(4)));
  const [wide, high] = sizeOf(drawChart(reportOf(8)));
  assert.ok(wide > 1.5 * narrow);
  assert.equal(high, low);
});

test('a bar that is too long is cut, with its figure beside it', () => {
  const report = reportOf(1);
  const long = summarize({
    workload: keepalive,
    placement: '',
    series: [series('undici', [90]), series('nginx', [10])],
    failures: [],
  });
  const chart = drawChart({ ...report, workloads: [long] });
  assert.match(chart, />9\.00<\/text>/);
  assert.equal(chart.match(/Z(?=M)/g)?.length, 1, 'a bar in two parts');
});
