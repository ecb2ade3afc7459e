import type { DownloadProgress } from "../weights/hub_options.ts";
import { clock } from "./clock.ts";
import { showAmount } from "./progress.ts";
import type { Screen, ShownWork } from "./screen.ts";
import { visible } from "./shown_text.ts";

/** Hears of a download, as `HubOptions` have it. */
export interface DownloadDisplay {
  onProgress(progress: DownloadProgress): void;
  say(line: string): void;
}

/** Shows a download as one bar over all of its files, and the remarks that come with it as lines of their own. */
export function downloadDisplay(screen: Screen): DownloadDisplay {
  let shown: (ShownWork & { since: number }) | undefined;
  const end = () => {
    shown?.[Symbol.dispose]();
    shown = undefined;
  };
  return {
    onProgress({ doneBytes, totalBytes }) {
      const { now } = screen.target;
      shown ??= {
        ...screen.begin({ name: "download", unit: "bytes", total: totalBytes }, doneBytes),
        since: now(),
      };
      shown.update(doneBytes);
      if (doneBytes < totalBytes) return;
      const seconds = (now() - shown.since) / 1000;
      end();
      screen.workRemark(`downloaded ${showAmount(totalBytes, "bytes")} in ${clock(seconds)}`);
    },
    say(line) {
      end(); // it may say that the download is given up
      screen.remark(visible(line));
    },
  };
}
