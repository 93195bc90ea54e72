/** How long answers took, for the loads that are ours: counted by steps, since there are many. */

/** Milliseconds. */
const STEP = 0.01;
const STEPS = 100_000;

/** Durations of up to a second; longer ones count as one. */
export class Latencies {
  /** How many there are. */
  count = 0;
  private readonly steps = new Uint32Array(STEPS);

  /** Counts one, in milliseconds. */
  add(duration: number): void {
    this.count++;
    this.steps[Math.min(STEPS - 1, Math.floor(duration / STEP))]++;
  }

  /** What this share of them did not exceed, in whole microseconds; 0 when there are none. */
  at(share: number): number {
    if (this.count === 0) return 0;
    let left = Math.max(1, Math.ceil(share * this.count));
    let place = 0;
    while (left > this.steps[place]) left -= this.steps[place++];
    return Math.round((place + 1) * STEP * 1000);
  }
}
