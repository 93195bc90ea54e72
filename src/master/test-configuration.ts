/** `-t` and `-T`: checks the configuration and says whether it is good. */
import { ConfigError } from '../config/statement.ts';
import { createConnectionCounters } from '../shared/counters.ts';
import { PeerTable } from '../shared/peer-table.ts';
import { SlotDirectory } from '../shared/slot-directory.ts';
import { checkAddresses } from './addresses.ts';
import { check, describeConfigurationError, load, warnOfLimits } from './check.ts';
import { openPidFile } from './pid-file.ts';
import { createProcessSecret } from './secret.ts';
import type { Startup } from './startup.ts';

/** @returns the exit code */
export async function testConfiguration(
  startup: Startup,
  { quiet, dump }: { readonly quiet: boolean; readonly dump: boolean },
): Promise<number> {
  const { log, configuration: file } = startup;
  const tellSyntax = () => {
    if (!quiet) log.tell(`the configuration file ${file} syntax is ok`);
  };
  const failed = () => {
    log.tell(`configuration file ${file} test failed`);
    return 1;
  };

  let syntaxTold = false;
  try {
    const loaded = load(startup, undefined);
    const peers = PeerTable.create();
    const tables = {
      peers,
      counters: createConnectionCounters(),
      directory: new SlotDirectory(peers),
      secret: createProcessSecret(),
    };
    if (!loaded.scope.has('events')) {
      tellSyntax();
      syntaxTold = true;
    }
    const checked = await check(startup, loaded, tables, 1).catch((error: unknown) => {
      // Not the file's fault but a log's that cannot be opened: nginx has called its syntax ok by then.
      if (!(error instanceof ConfigError) && !syntaxTold) tellSyntax();
      throw error;
    });
    tellSyntax();
    openPidFile(checked.pid).close();
    warnOfLimits(startup, checked);
    if (!(await checkAddresses(checked.addresses, log, true))) return failed();
    if (!quiet) log.tell(`configuration file ${file} test is successful`);
    if (dump) {
      for (const { path, text } of checked.configuration.files) {
        process.stdout.write(Buffer.from(`# configuration file ${path}:\n${text}\n`, 'latin1'));
      }
    }
    return 0;
  } catch (error) {
    const { level, message } = describeConfigurationError(error);
    log.write(level, message);
    return failed();
  }
}
