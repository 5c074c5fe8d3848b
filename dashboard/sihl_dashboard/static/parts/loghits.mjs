/** Where a text, or an error, is found in a log: asked for as far as one goes. */

import { get, pathOf } from "../api.mjs";

const AT_ONCE = 200;

/**
 * @param {{namespace: string, project: string, job: string, attempt: ?number}} which
 * @param {?string} text what is looked for; null: what tells of errors
 */
export function logHits({ namespace, project, job, attempt }, text) {
  const path = `${pathOf(namespace, project, job)}/log/search`;
  const numbers = [];
  let from = "START";
  let isEnd = false;
  let turn = Promise.resolve();

  async function more() {
    if (isEnd) return;
    const kind = text === null ? "error" : "text";
    const answer = await get(path, { attempt, q: text, kind, from, count: AT_ONCE });
    for (const hit of answer.hits) {
      if (!numbers.length || hit.number > numbers[numbers.length - 1]) numbers.push(hit.number);
    }
    isEnd = !answer.more || answer.after === from;
    from = answer.after ?? from;
  }

  /** Looks on until the answer is known; one after the other, each question with its own answer. */
  function until(known) {
    const mine = turn.then(async () => {
      while (!known() && !isEnd) await more();
    });
    turn = mine.catch(() => {});
    return mine;
  }

  return {
    numbers,
    get isEnd() {
      return isEnd;
    },
    /** The next one behind a line; from the end on from the beginning. Null: there is none. */
    async next(number) {
      await until(() => numbers.length && numbers[numbers.length - 1] > number);
      return numbers.find((each) => each > number) ?? numbers[0] ?? null;
    },
    async previous(number) {
      await until(() => numbers.length && numbers[numbers.length - 1] >= number);
      const before = numbers.filter((each) => each < number);
      if (before.length) return before[before.length - 1];
      await until(() => false);
      return numbers[numbers.length - 1] ?? null;
    },
    /** What the log has got since is looked through at the next question. */
    refresh() {
      isEnd = false;
    },
  };
}
