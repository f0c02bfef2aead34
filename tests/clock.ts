/** Time that passes when a test says so. */
import fakeTimers from "npm:@sinonjs/fake-timers@^15.0.0";

export { turn } from "../net/turns.ts";

/** A clock for the timers of this thread; `setImmediate` and the network go on as ever. */
export class Clock implements Disposable {
  readonly #clock = fakeTimers.install({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });

  /** Lets so many milliseconds pass, with all that becomes due in them. */
  async pass(ms: number): Promise<void> {
    await this.#clock.tickAsync(ms);
  }

  [Symbol.dispose](): void {
    this.#clock.uninstall();
  }
}
