/** Logging in with a token, where no proxy says who one is. */

import { forgetMe, me, send } from "../api.mjs";
import { announce, el, replace } from "../dom.mjs";
import { problem } from "../parts/problem.mjs";
import { view } from "../view.mjs";

/** The server's remedy where a form helps. */
const LOG_IN = "log in";

/** @type {function(HTMLElement, import("../main.mjs").Context): {destroy: function()}} */
export function login(root, { title }) {
  title("Log in");
  let isGone = false;
  known();

  /** Who is logged in already goes on; where nobody logs in, as on one's own machine, it says what to do. */
  async function known() {
    let reason = "";
    try {
      await me(true);
      if (!isGone) goOn();
      return;
    } catch (error) {
      if (isGone) return;
      if (error.status === 401 && error.remedy && error.remedy !== LOG_IN) {
        replace(root, problem(error, { title: "You are not let in" }));
        return;
      }
      if (error.message !== "you are not logged in") reason = error.message;
    }
    replace(root, form(reason));
    root.querySelector("input").focus();
  }

  return {
    destroy() {
      isGone = true;
    },
  };
}

/** By loading that page: what a browser has asked for with this one, somebody unknown asked for. */
function goOn() {
  location.replace(safe(view().get("next")));
}

/** @param {string} reason why one has to log in again; "" if there is none */
function form(reason) {
  const failed = el("p", { class: "wrong", id: "wrong", role: "alert", text: reason });
  const token = el("input", { type: "password", name: "token", required: true, autocomplete: "off",
    spellcheck: "false", "aria-describedby": "how wrong" });
  const button = el("button", { class: "primary", type: "submit" }, "Log in");

  async function submitted(event) {
    event.preventDefault();
    button.disabled = true;
    failed.textContent = "";
    try {
      await send("POST", "/login", { token: token.value.trim() });
      token.value = "";
      forgetMe();
      await me(true);
      announce("Logged in");
      goOn();
    } catch (error) {
      failed.textContent = [error.message, error.remedy].filter((text) => text && text !== LOG_IN).join("; ");
      token.setAttribute("aria-invalid", "true");
      token.focus();
      token.select();
    } finally {
      button.disabled = false;
    }
  }

  return el("form", { class: "panel login stack", onsubmit: submitted },
    el("h1", { text: "Log in" }),
    el("label", { class: "field" }, el("span", { text: "Token" }), token),
    failed, button,
    el("div", { id: "how", class: "faint small" },
      el("p", { text: "You see what your token may see, and nothing is done with more than its rights. "
        + "A service account's is made by:" }),
      el("pre", { text: "kubectl -n NAMESPACE create token NAME" })));
}

/** Where to go on: within the dashboard only, whoever made the link. */
function safe(next) {
  try {
    const to = new URL(next ?? "/", location.origin);
    return to.origin === location.origin && to.pathname !== "/login" ? to.pathname + to.search : "/";
  } catch {
    return "/";
  }
}
