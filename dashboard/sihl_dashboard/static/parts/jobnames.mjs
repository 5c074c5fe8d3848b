/** What jobs are called where people read, of their records' folders. */

/**
 * A record's folder without its uid.
 * @param {string} folder
 */
export function nameOfJob(folder) {
  const dot = folder.lastIndexOf(".");
  return dot > 0 ? folder.slice(0, dot) : folder;
}

/**
 * Names that tell jobs apart: with the uid where two are called the same.
 * @param {string[]} folders
 * @returns {Map<string, string>}
 */
export function labelsOf(folders) {
  const count = new Map();
  for (const folder of folders) count.set(nameOfJob(folder), (count.get(nameOfJob(folder)) ?? 0) + 1);
  return new Map(folders.map((f) => [f, count.get(nameOfJob(f)) > 1 ? f : nameOfJob(f)]));
}
