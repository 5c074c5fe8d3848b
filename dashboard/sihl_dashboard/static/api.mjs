/** Asking the server. Every answer goes through here: errors are alike, and a lost session is noticed. */

const ROOT = "/api/v1";
const REOPENED = "sihl-reopened";
const REOPENED_EVERY = 30_000; // milliseconds

/** What went wrong, in words for a person. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where the server could not be reached
   * @param {string} code
   * @param {string} message
   * @param {string} remedy what to do; "" if nobody knows
   */
  constructor(status, code, message, remedy = "") {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.remedy = remedy;
  }

  /** Whether it may well pass by itself: the server or the store is away, or undecided. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

let identity = null;
let onSignedOut = () => {};

/** Says what happens once the server no longer knows who asks. */
export function whenSignedOut(handler) {
  onSignedOut = handler;
}

/**
 * Who looks, and what they may do.
 *
 * @returns {Promise<{user: string, mode: string, cluster: boolean, canAct: boolean, csrf: ?string}>}
 */
export async function me(again = false) {
  if (!identity || again) identity = await get("/me");
  return identity;
}

/** The address of an answer, below /api/v1; parameters that are null are left out, lists repeated. */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") query.append(name, String(each));
    }
  }
  const text = query.toString();
  return `${ROOT}${path}${text ? `?${text}` : ""}`;
}

/** The path of a project, or of a job of it (its record's folder), for `get` and `address`. */
export function pathOf(namespace, project, job = null) {
  const base = `/namespaces/${encodeURIComponent(namespace)}/projects/${encodeURIComponent(project)}`;
  return job === null ? base : `${base}/jobs/${encodeURIComponent(job)}`;
}

/**
 * Asks, and answers the JSON. The browser keeps answers and asks whether they still hold (ETag).
 *
 * @param {string} path below /api/v1
 * @param {Object} [params]
 * @param {{signal?: AbortSignal}} [options]
 * @throws {ApiError}
 */
export async function get(path, params = {}, { signal } = {}) {
  return decoded(await asked(address(path, params), { signal }));
}

/** The same for an answer that is text, a YAML say. */
export async function getText(path, params = {}, { signal } = {}) {
  return (await asked(address(path, params), { signal })).text();
}

/**
 * Asks for a change, with the proof that this page asked.
 *
 * @param {"POST"|"PATCH"|"DELETE"} method
 * @param {string} path below /api/v1
 * @param {Object|string} [body] sent as JSON, or as the YAML that it is
 * @throws {ApiError}
 */
export async function send(method, path, body = undefined) {
  const headers = {};
  if (identity?.csrf) headers["X-CSRF"] = identity.csrf;
  if (body !== undefined) {
    headers["Content-Type"] = typeof body === "string" ? "application/yaml" : "application/json";
  }
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  return decoded(await asked(ROOT + path, { method, headers, body: text }));
}

/** Forgets who looks: after logging in or out. */
export function forgetMe() {
  identity = null;
}

async function asked(url, init) {
  let answer;
  try {
    // The server redirects no answer: who does is a proxy in front, to where one logs in.
    answer = await fetch(url, { credentials: "same-origin", redirect: "manual", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer.", "It is tried again.");
  }
  if (answer.ok) return answer;
  const error = answer.type === "opaqueredirect" ? proxied() : await refused(answer);
  if (error.code === "proxy") reopen();
  else if (answer.status === 401 && !url.endsWith("/login")) onSignedOut(error);
  throw error;
}

function proxied() {
  return new ApiError(401, "proxy", "The proxy in front of the dashboard wants you to log in.",
    "Open this page anew.");
}

/** The page is asked for anew, which a proxy answers with its login; not again and again. */
function reopen() {
  try {
    if (Date.now() - Number(sessionStorage.getItem(REOPENED)) < REOPENED_EVERY) return;
    sessionStorage.setItem(REOPENED, String(Date.now()));
  } catch {
    return; // a browser that keeps nothing could do it for ever
  }
  location.reload();
}

async function refused(answer) {
  try {
    const { error } = await answer.json();
    return new ApiError(answer.status, String(error.code), String(error.message),
      String(error.remedy ?? ""));
  } catch {
    if (answer.status === 401) return proxied();
    return new ApiError(answer.status, "unknown", `The server answered ${answer.status}.`);
  }
}

async function decoded(answer) {
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "broken", "The server's answer broke off.", "It is tried again.");
  }
}
