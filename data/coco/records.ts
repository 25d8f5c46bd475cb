/**
 * Reads lists of JSON files record by record: neither a file nor what it holds need fit in memory,
 * or in a string.
 *
 * @module
 */
import { DataError } from "../dataset.ts";

/** Bytes that are read at once, and of records that are parsed at once. */
const CHUNK = 1 << 20;
const BATCH = 1 << 18;

/** Takes a record, and its index in the list. */
export type Take = (record: unknown, index: number) => void;

/**
 * Reads the lists of an object, or a file that is a list.
 *
 * @param lists What takes the records of each list, by its key; `""`: of a file that is a list. Other
 * keys are passed over.
 * @returns Keys of the lists that were there.
 * @throws {DataError} If the file cannot be read, is no such JSON, or has a list twice.
 */
export function readRecords(path: string, lists: Readonly<Record<string, Take>>): Set<string> {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path);
  } catch (cause) {
    const isMissing = cause instanceof Deno.errors.NotFound;
    const reason = isMissing ? "no such file" : (cause as Error).message;
    throw new DataError(`Cannot read ${path}: ${reason}`, { cause });
  }
  using _ = file;
  return new Reader(path, file, lists).read();
}

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c];
const [OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [0x5b, 0x5d, 0x7b, 0x7d];
const END = -1;

class Reader {
  #bytes = new Uint8Array(2 * CHUNK);
  /** Next byte, and the end of those that were read. */
  #at = 0;
  #end = 0;
  /** First byte that is still needed; none where it is infinite. */
  #kept = Infinity;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  readonly #found = new Set<string>();

  constructor(
    readonly path: string,
    readonly file: Deno.FsFile,
    readonly lists: Readonly<Record<string, Take>>,
  ) {}

  read(): Set<string> {
    if (this.#peek() === 0xef) this.#at += 3; // byte order mark
    const isList = Object.hasOwn(this.lists, "");
    const first = this.#next();
    if (first === END) throw this.#cannot("it is empty");
    if (first !== (isList ? OPEN_LIST : OPEN)) {
      throw this.#cannot(`it is no JSON ${isList ? "list" : "object"}`);
    }
    if (isList) this.#list("");
    else this.#object();
    if (this.#next() !== END) throw this.#broken("behind its end");
    return this.#found;
  }

  /** What follows `{`. */
  #object(): void {
    if (this.#ahead() === CLOSE) return void this.#at++;
    for (;;) {
      const key = this.#key();
      if (this.#next() !== COLON) throw this.#broken(`behind "${key}"`);
      if (this.#ahead() === OPEN_LIST && Object.hasOwn(this.lists, key)) {
        if (this.#found.has(key)) throw this.#cannot(`it has ${key} twice`);
        this.#at++;
        this.#list(key);
      } else if (!this.#passValue()) throw this.#ends(key);
      const after = this.#next();
      if (after === CLOSE) return;
      if (after !== COMMA) throw this.#broken(`behind ${key}`);
    }
  }

  #key(): string {
    const isKey = this.#ahead() === QUOTE;
    this.#kept = this.#at;
    if (!isKey || !this.#passValue()) throw this.#broken("where a key should be");
    const key = this.#parse(this.#kept, this.#at, "a key") as string;
    this.#kept = Infinity;
    return key;
  }

  /** What follows `[`. */
  #list(name: string): void {
    this.#found.add(name);
    if (this.#ahead() === CLOSE_LIST) return void this.#at++;
    const take = this.lists[name];
    this.#kept = this.#at;
    for (let index = 0, count = 1, isLast = false; !isLast; count++) {
      if (!this.#passValue()) throw this.#ends(`${name}[${index + count - 1}]`);
      const after = this.#next();
      isLast = after === CLOSE_LIST;
      if (!isLast && after !== COMMA) {
        throw after === END
          ? this.#ends(name || "its list")
          : this.#broken(`behind ${name}[${index + count - 1}]`);
      }
      if (!isLast && this.#at - this.#kept < BATCH) continue;
      const records = this.#records(this.#kept, this.#at - 1, name, index, count);
      for (let i = 0; i < count; i++) take(records[i], index + i);
      [index, count] = [index + count, 0];
      this.#kept = this.#at;
    }
    this.#kept = Infinity;
  }

  #records(from: number, to: number, name: string, index: number, count: number): unknown[] {
    const at = `${name}[${index}]`;
    const text = this.#text(from, to, at);
    try {
      return JSON.parse(`[${text}]`);
    } catch { /* look which it is */ }
    const records: unknown[] = [];
    this.#at = from;
    for (let i = 0; i < count; i++) {
      const start = this.#at;
      this.#passValue();
      records.push(this.#parse(start, this.#at, `${name}[${index + i}]`));
      this.#next();
    }
    return records;
  }

  #parse(from: number, to: number, at: string): unknown {
    const text = this.#text(from, to, at);
    try {
      return JSON.parse(text);
    } catch {
      // Python writes what is not finite so, which its reader will name.
      const known = text.replace(
        /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g,
        (token) => token[0] === '"' ? token : `"${token}"`,
      );
      try {
        return JSON.parse(known);
      } catch {
        throw this.#broken(`in ${at}`);
      }
    }
  }

  #text(from: number, to: number, at: string): string {
    try {
      return this.#decoder.decode(this.#bytes.subarray(from, to));
    } catch {
      throw this.#broken(`in ${at}: it is not UTF-8`);
    }
  }

  /** Goes behind a value, by its quotes and brackets alone. @returns False if the file ends in it. */
  #passValue(): boolean {
    this.#ahead();
    let [depth, isString, at] = [0, false, this.#at];
    for (;; at++) {
      if (at >= this.#end) {
        this.#at = at;
        if (!this.#fill()) return false;
        at = this.#at;
      }
      const byte = this.#bytes[at];
      if (isString) {
        if (byte === BACKSLASH) at++;
        else if (byte === QUOTE) isString = false;
        else continue;
        if (isString || depth > 0) continue;
        this.#at = at + 1;
        return true;
      }
      if (byte === QUOTE) isString = true;
      else if (byte === OPEN || byte === OPEN_LIST) depth++;
      else if (byte === CLOSE || byte === CLOSE_LIST || byte === COMMA) {
        if (byte === COMMA && depth > 0) continue;
        if (depth > 1) depth--;
        else {
          this.#at = at + depth; // at 0 the bracket, or comma, is of what the value is in
          return true;
        }
      }
    }
  }

  /** The next byte that is no space, which is then behind. */
  #next(): number {
    const byte = this.#ahead();
    if (byte !== END) this.#at++;
    return byte;
  }

  /** The next byte that is no space. */
  #ahead(): number {
    for (;; this.#at++) {
      const byte = this.#peek();
      if (byte === END || byte > 0x20) return byte;
    }
  }

  #peek(): number {
    if (this.#at >= this.#end && !this.#fill()) return END;
    return this.#bytes[this.#at];
  }

  /** Reads more, behind what is kept. @returns Whether there was more. */
  #fill(): boolean {
    const kept = Math.min(this.#kept, this.#at, this.#end);
    this.#bytes.copyWithin(0, kept, this.#end);
    this.#at -= kept;
    this.#end -= kept;
    if (this.#kept !== Infinity) this.#kept -= kept;
    if (this.#bytes.length - this.#end < CHUNK) {
      const longer = new Uint8Array(2 * this.#bytes.length);
      longer.set(this.#bytes.subarray(0, this.#end));
      this.#bytes = longer;
    }
    while (this.#at >= this.#end) { // an escape may lead beyond
      const read = this.file.readSync(this.#bytes.subarray(this.#end, this.#end + CHUNK));
      if (read === null) return false;
      this.#end += read;
    }
    return true;
  }

  #ends(where: string): DataError {
    return this.#cannot(`it ends within ${where}`);
  }

  #broken(where: string): DataError {
    return this.#cannot(`broken JSON ${where}`);
  }

  #cannot(reason: string): DataError {
    return new DataError(`Cannot read ${this.path}: ${reason}`);
  }
}
