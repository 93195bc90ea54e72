/** The results as a picture: a bar for each peer, nginx being 1. */
import type { Line, Report, WorkloadReport } from './results.ts';
import { formatNumber, formatRatio, nameOf, unitNames } from './table.ts';

/** A report of more workloads than this has two columns. */
const LONGEST_COLUMN = 6;
const COLUMN_WIDTH = 530;
const COLUMN_GAP = 24;
const MARGIN = 20;
const LABEL_WIDTH = 152;
/** Where the bars have to end, and the ratios beside them do. */
const BAR_END = 376;
const RATIO_END = BAR_END + 44;
const BAR_HEIGHT = 13;
const BAR_GAP = 4;
const GROUP_GAP = 20;
const TITLE_HEIGHT = 22;
const HEAD_HEIGHT = 88;

/**
 * The scale of all bars: one that is longer than this many times nginx is cut, with its figure beside it.
 * Were it longer, the few that cost many times as much would leave no room to tell the others apart.
 */
const LONGEST = 2.5;

/** Readable to people who do not see red and green apart: those that matter differ in lightness too. */
const colours: Readonly<Record<string, string>> = {
  portico: '#1d4fc4',
  'portico-uws': '#7ba4f4',
  nginx: '#4b5563',
};
const otherColour = '#c3cad3';

/** Draws a report as an SVG document of its own, that needs no font and no style sheet. */
export function drawChart(report: Report): string {
  const drawn = report.workloads
    .map((workload) => ({ workload, lines: workload.lines.filter((line) => Number.isFinite(line.cost)) }))
    .filter(({ lines }) => lines.length > 0);
  const heights = drawn.map(({ lines }) => heightOf(lines.length));
  const inFirst = drawn.length > LONGEST_COLUMN ? evenSplit(heights) : drawn.length;
  const columns = inFirst < drawn.length ? 2 : 1;
  const width = columns * (COLUMN_WIDTH + COLUMN_GAP) - COLUMN_GAP + 2 * MARGIN;
  const groups: string[] = [];
  let left = MARGIN;
  let top = HEAD_HEIGHT;
  let bottom = HEAD_HEIGHT;
  for (const [index, { workload, lines }] of drawn.entries()) {
    if (index === inFirst) {
      left += COLUMN_WIDTH + COLUMN_GAP;
      top = HEAD_HEIGHT;
    }
    groups.push(`<g transform="translate(${left},${top})">\n${drawGroup(workload, lines)}\n</g>`);
    top += heights[index];
    bottom = Math.max(bottom, top);
  }
  const { machine, versions, method } = report;
  const takesPart = new Set(drawn.flatMap(({ lines }) => lines.map((line) => line.peer)));
  const names = Object.entries(versions)
    .filter(([name]) => name === 'node' || takesPart.has(name))
    .map(([name, version]) => `${name} ${version}`);
  const footLines = [
    `${machine.processor}, Linux ${machine.kernel}, ${report.date.slice(0, 10)}`,
    ...wrap(names, Math.floor((width - 2 * MARGIN) / 6)),
  ];
  const height = bottom + 12 + 15 * footLines.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<title>What the same work costs with Portico and with other proxies</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${MARGIN}" y="32" font-size="19" font-weight="600" fill="#111827">What the same work costs, nginx = 1</text>`,
    `<text x="${MARGIN}" y="52" fill="#4b5563">Processor time, or memory for idle connections: the shorter the better.</text>`,
    `<text x="${MARGIN}" y="68" fill="#4b5563">The median of the ratios of ${method.rounds === 1 ? '1 round' : `${method.rounds} rounds`}; bars with an open end are longer than ${LONGEST}.</text>`,
    ...groups,
    ...footLines.map(
      (text, line) =>
        `<text x="${MARGIN}" y="${bottom + 10 + 15 * line}" font-size="11" fill="#6b7280">${escapeText(text)}</text>`,
    ),
    '</svg>',
    '',
  ].join('\n');
}

/** Joins words with commas into lines of at most so many characters. */
function wrap(words: readonly string[], most: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.length - 1;
    if (last >= 0 && lines[last].length + 2 + word.length <= most) lines[last] += `, ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** How many of the groups, in their order, make the first of two columns of about the same height. */
function evenSplit(heights: readonly number[]): number {
  const half = heights.reduce((sum, height) => sum + height, 0) / 2;
  let sum = 0;
  let count = 0;
  while (count < heights.length && sum + heights[count] / 2 < half) sum += heights[count++];
  return count;
}

function heightOf(bars: number): number {
  return TITLE_HEIGHT + bars * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP;
}

/** One workload, at 0,0. Without nginx among its lines, the first line is what the bars are drawn against. */
function drawGroup(workload: WorkloadReport, lines: readonly Line[]): string {
  const unit = (BAR_END - LABEL_WIDTH) / LONGEST;
  const parts = [
    `<text y="12" font-size="13" font-weight="600" fill="#111827">${escapeText(workload.title)}</text>`,
  ];
  lines.forEach((line, index) => {
    const ratio = Number.isFinite(line.ratioToNginx) ? line.ratioToNginx : line.cost / lines[0].cost;
    const y = TITLE_HEIGHT + index * (BAR_HEIGHT + BAR_GAP);
    const end = LABEL_WIDTH + Math.max(1, Math.min(ratio, LONGEST) * unit);
    parts.push(
      `<text x="${LABEL_WIDTH - 8}" y="${y + 11}" text-anchor="end" fill="#374151">${escapeText(nameOf(line))}</text>`,
      `<path d="${barPath(y, end, ratio > LONGEST)}" fill="${colours[line.peer] ?? otherColour}"/>`,
      `<text x="${RATIO_END}" y="${y + 11}" text-anchor="end" font-weight="600" fill="#374151">${formatRatio(line.ratioToNginx)}</text>`,
      `<text x="${RATIO_END + 10}" y="${y + 11}" fill="#374151">${formatNumber(line.cost)} ${unitNames[workload.unit]}</text>`,
    );
  });
  const mark = (LABEL_WIDTH + unit).toFixed(1);
  const bottom = TITLE_HEIGHT + lines.length * (BAR_HEIGHT + BAR_GAP) - BAR_GAP;
  parts.push(
    `<line x1="${mark}" x2="${mark}" y1="${TITLE_HEIGHT - 3}" y2="${bottom + 3}" stroke="#111827" stroke-dasharray="2 3"/>`,
  );
  return parts.join('\n');
}

/** A bar, from the labels to `end`; one that is cut ends in a notch, and has a slit before it. */
function barPath(y: number, end: number, cut: boolean): string {
  const right = end.toFixed(1);
  const low = y + BAR_HEIGHT;
  if (!cut) return `M${LABEL_WIDTH},${y}H${right}V${low}H${LABEL_WIDTH}Z`;
  const at = (before: number): string => (end - before).toFixed(1);
  return [
    `M${LABEL_WIDTH},${y}H${at(12)}L${at(16)},${low}H${LABEL_WIDTH}Z`,
    `M${at(9)},${y}H${right}L${at(4)},${low}H${at(13)}Z`,
  ].join('');
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
