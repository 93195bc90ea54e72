/**
 * The program: reads the command line and does what it asks for. What is not needed for that is not loaded.
 */
import { type Options, readOptions } from './master/options.ts';
import { PRODUCT } from './version.ts';

/** The directory that this copy of Portico is installed in, which is the default prefix; with a slash at its end. */
function installation(): string {
  return Buffer.from(`${import.meta.dirname.replace(/\/[^/]*$/, '')}/`, 'utf8').toString('latin1');
}

function help(): string {
  return `Usage: portico [-?hvVtTq] [-s signal] [-p prefix]
               [-e filename] [-c filename] [-g directives]

Options:
  -?,-h         : this help
  -v            : show version and exit
  -V            : show version and what it runs on then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: ${installation()})
  -e filename   : set error log file (default: logs/error.log)
  -c filename   : set configuration file (default: config/front-door.conf)
  -g directives : set global directives out of configuration file

`;
}

function versionDetails(): string {
  const { node, openssl, v8 } = process.versions;
  return `running on Node.js ${node} (V8 ${v8})\nrunning with OpenSSL ${openssl}\nTLS SNI support enabled\n`;
}

function writeError(text: string): void {
  process.stderr.write(Buffer.from(text, 'latin1'));
}

/**
 * Does what the command line asks for.
 * @param words the arguments without the program, as byte strings
 * @returns the exit code; undefined where the program goes on running
 */
async function runCommand(words: readonly string[]): Promise<number | undefined> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (error) {
    writeError(`portico: ${(error as Error).message}\n`);
    return 1;
  }
  if (options.version) {
    writeError(`portico version: ${PRODUCT}\n`);
    if (options.help) writeError(help());
    if (options.versionDetails) writeError(versionDetails());
    if (!options.test) return 0;
  }
  const { openStartup } = await import('./master/startup.ts');
  const startup = openStartup({ ...options, installation: installation() });
  if (options.test)
    return (await import('./master/test-configuration.ts')).testConfiguration(startup, options);
  if (options.signal !== undefined) {
    return (await import('./master/signal-process.ts')).signalProcess(startup, options.signal);
  }
  return (await import('./master/start.ts')).start(startup);
}

const words = process.argv.slice(2).map((word) => Buffer.from(word, 'utf8').toString('latin1'));
const code = await runCommand(words);
if (code !== undefined) process.exit(code);
