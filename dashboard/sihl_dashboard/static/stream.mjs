/**
 * What changes is told by one stream of server-sent events a tab. It says that something changed, never
 * what: whoever shows it asks for it. A hidden tab rests. All reconnects wait a random while, so that a
 * server that comes back is not run over by its viewers.
 */

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
// Heartbeats come each 15 s: a connection that died without a word is noticed by their absence.
const SILENCE = 40_000;
const NAMES = ["overview", "project", "job"];

/**
 * Opens the tab's stream. Nothing is asked for until something is watched.
 *
 * @param {{onLost?: function()}} [options] hears that the connection was lost, or ended by the server:
 *   EventSource does not say why
 * @returns {Stream}
 *
 * @typedef {Object} Stream
 * @property {function(): string} state "idle", "connecting", "live", "lost" or "resting"
 * @property {function(string, function(?Object))} watch `watch("overview" | "project:ns/p" |
 *   "job:ns/p/folder", changed)` calls `changed(event)` with the event's data when that changed; also after
 *   the connection was lost or the tab rested, if it changed meanwhile, and mostly once at first. Returns
 *   what ends it.
 * @property {function(function(string))} onState hears of changes of the state; returns what ends it
 * @property {function()} close
 */
export function openStream({ onLost = () => {} } = {}) {
  const watchers = new Map(); // topic -> Set of functions
  const hearers = new Set();
  let state = "idle";
  let current = null;
  let asked = "";
  let wait = FIRST_WAIT;
  let timer = 0;
  let watchdog = 0;
  let lastId = "";

  function become(next) {
    if (next === state) return;
    state = next;
    for (const hear of hearers) hear(state);
  }

  function shut() {
    clearTimeout(timer);
    clearTimeout(watchdog);
    current?.close();
    current = null;
    asked = "";
  }

  function connect() {
    if (!watchers.size) {
      shut();
      become("idle");
      return;
    }
    if (document.hidden) return;
    const url = streamAddress(watchers.keys());
    if (current && asked === url) return;
    shut();
    asked = url;
    if (state !== "live") become(state === "lost" ? "lost" : "connecting");
    current = new EventSource(lastId ? `${url}&last=${encodeURIComponent(lastId)}` : url);
    current.onopen = opened;
    current.onerror = failed;
    current.addEventListener("here", heard);
    current.addEventListener("end", failed); // who looks may no longer
    for (const name of NAMES) current.addEventListener(name, (event) => told(name, event));
  }

  function opened() {
    wait = FIRST_WAIT;
    become("live");
    heard();
  }

  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(failed, SILENCE);
  }

  function failed() {
    shut();
    if (state !== "lost") onLost();
    become("lost");
    timer = setTimeout(connect, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  function told(name, event) {
    lastId = event.lastEventId || lastId;
    heard();
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      return;
    }
    for (const changed of watchers.get(topicOf(name, data)) ?? []) changed(data);
  }

  function visibility() {
    if (document.hidden) {
      shut();
      if (watchers.size) become("resting");
    } else connect();
  }

  let planned = false;
  function soon() {
    // Several parts begin to watch at once: one connection for all of them.
    if (planned) return;
    planned = true;
    setTimeout(() => {
      planned = false;
      connect();
    }, 20);
  }

  document.addEventListener("visibilitychange", visibility);
  addEventListener("online", () => state === "lost" && (shut(), connect()));

  return {
    state: () => state,
    onState(hear) {
      hearers.add(hear);
      return () => hearers.delete(hear);
    },
    watch(topic, changed) {
      if (!watchers.has(topic)) watchers.set(topic, new Set());
      watchers.get(topic).add(changed);
      soon();
      return () => {
        const all = watchers.get(topic);
        all?.delete(changed);
        if (all && !all.size) watchers.delete(topic);
        soon();
      };
    },
    close() {
      watchers.clear();
      document.removeEventListener("visibilitychange", visibility);
      shut();
      become("idle");
    },
  };
}

function streamAddress(topics) {
  const jobs = [];
  const projects = [];
  const query = new URLSearchParams();
  for (const topic of [...topics].sort()) {
    if (topic === "overview") query.set("overview", "1");
    else if (topic.startsWith("job:")) jobs.push(topic.slice(4));
    else if (topic.startsWith("project:")) projects.push(topic.slice(8));
  }
  if (jobs.length) query.set("jobs", jobs.join(","));
  if (projects.length) query.set("projects", projects.join(","));
  return `/api/v1/stream?${query}`;
}

function topicOf(name, data) {
  if (name === "overview") return "overview";
  if (name === "project") return `project:${data.namespace}/${data.project}`;
  return `job:${data.namespace}/${data.project}/${data.job}`;
}
