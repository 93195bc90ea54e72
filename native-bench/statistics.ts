/** The few figures that many rounds are reduced to. */

/** The middle value, or the mean of the two middle ones; NaN of no values. The input is left as it is. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The median of the ratios of two series, value by value.
 *
 * Rounds are interleaved so that what disturbs the machine disturbs neighbours alike: dividing inside a
 * round cancels it, dividing two medians does not. A round in which either value is missing is left out.
 *
 * @returns NaN when no round has both
 */
export function medianRatio(
  values: readonly (number | undefined)[],
  bases: readonly (number | undefined)[],
): number {
  const ratios: number[] = [];
  for (let round = 0; round < values.length; round++) {
    const value = values[round];
    const base = bases[round];
    if (value !== undefined && base !== undefined && base !== 0) ratios.push(value / base);
  }
  return median(ratios);
}

/** `left[i] - right[i]`, missing where either is: what something added, round by round. */
export function differences(
  left: readonly (number | undefined)[],
  right: readonly (number | undefined)[],
): (number | undefined)[] {
  return left.map((value, round) => {
    const other = right[round];
    return value === undefined || other === undefined ? undefined : value - other;
  });
}

/**
 * How far the middle half of the values lies apart, as a share of the median: 0.05 is a calm machine,
 * 0.3 one whose figures should not be believed. NaN of fewer than two values.
 */
export function spread(values: readonly number[]): number {
  if (values.length < 2) return Number.NaN;
  const sorted = [...values].sort((left, right) => left - right);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.ceil(place);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  };
  return (at(0.75) - at(0.25)) / median(sorted);
}
