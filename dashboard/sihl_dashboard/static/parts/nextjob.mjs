/** The next job: one job's YAML with some fields changed, to be copied, kept or submitted. */
import { address, getText, pathOf, send } from "../api.mjs";
import { announce, el, replace, uniqueId } from "../dom.mjs";
import { nameOfJob } from "./jobnames.mjs";

const PATIENCE_MS = 250;

/**
 * Opens a dialog; it closes by itself or by Escape.
 * @param {object} props
 * @param {string} props.namespace
 * @param {string} props.project
 * @param {string} props.job folder of the job to begin with
 * @param {{path: string, values: object}[]} props.differing settings in which it differs from others
 * @param {string[]} props.paths of all settings, to choose from
 * @param {boolean} props.canAct whether this user may submit
 * @returns {{destroy(): void}}
 */
export function nextJob({ namespace, project, job, differing, paths, canAct }) {
  const id = uniqueId("next");
  const known = el(
    "datalist",
    { id: `${id}-paths` },
    paths.map((path) => el("option", { value: bare(path) })),
  );
  const name = el("input", {
    placeholder: "the next of its series",
    "aria-label": "Name of the next job",
    autocomplete: "off",
    oninput: soon,
  });
  const rows = el("tbody", {});
  const yaml = el("pre", { tabindex: "0", role: "region", "aria-label": "YAML of the next job" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const copy = el("button", { type: "button", onclick: copied }, "Copy");
  const download = el("a", { class: "button", download: `${nameOfJob(job)}-next.yaml` }, "Download");
  const submit = el("button", { type: "button", class: "primary", onclick: submitted }, "Submit");
  const dialog = el(
    "dialog",
    { class: "next-job", "aria-labelledby": id, onclose: destroy },
    el("header", { class: "row" }, el("h2", { id }, `Next job, from ${nameOfJob(job)}`)),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ["Setting", "Was", "Is to be"].map((text) => el("th", { scope: "col" }, text)),
          ),
        ),
        rows,
      ),
    ),
    known,
    el(
      "div",
      { class: "row" },
      el("button", { type: "button", onclick: () => add().path.focus() }, "Another setting"),
      el("label", { class: "check" }, "Name ", name),
    ),
    wrong,
    yaml,
    el(
      "footer",
      {},
      copy,
      download,
      canAct ? submit : null,
      el("button", { type: "button", onclick: () => dialog.close() }, "Close"),
    ),
  );
  document.body.append(dialog);

  const fields = [];
  let text = "";
  let waiting = 0;
  let current = null;

  function setting({ path, values }) {
    const was = values[job];
    const others = [...new Set(Object.values(values).map(String))].filter((each) => each !== String(was));
    const list = el(
      "datalist",
      { id: uniqueId("values") },
      others.map((value) => el("option", { value })),
    );
    const value = el("input", {
      list: list.id,
      placeholder: "unchanged",
      "aria-label": `New value of ${bare(path)}`,
      autocomplete: "off",
      oninput: soon,
    });
    fields.push({ path: { value: bare(path) }, value });
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, bare(path)),
      el("td", {}, job in values ? String(was ?? "none") : "not set"),
      el("td", {}, value, list),
    );
  }

  function add() {
    const path = el("input", {
      list: known.id,
      placeholder: "training.maxSteps",
      "aria-label": "Setting",
      autocomplete: "off",
      oninput: soon,
    });
    const value = el("input", { "aria-label": "Its new value", autocomplete: "off", oninput: soon });
    const field = { path, value };
    fields.push(field);
    rows.append(el("tr", {}, el("td", {}, path), el("td", {}), el("td", {}, value)));
    return field;
  }

  function soon() {
    clearTimeout(waiting);
    waiting = setTimeout(ask, PATIENCE_MS);
  }

  const changes = () =>
    fields
      .map(({ path, value }) => [path.value.trim(), value.value.trim()])
      .filter(([path, value]) => path && value)
      .map(([path, value]) => `${path}=${value}`);

  const wanted = () => ({ set: changes(), name: name.value.trim() });

  async function ask() {
    current?.abort();
    const mine = (current = new AbortController());
    const path = `${pathOf(namespace, project, job)}/manifest.yaml`;
    try {
      const found = await getText(path, wanted(), { signal: mine.signal });
      if (mine.signal.aborted) return;
      text = found;
      yaml.textContent = text;
      wrong.textContent = "";
      download.setAttribute("href", address(path, wanted()));
      ready(true);
    } catch (error) {
      if (mine.signal.aborted) return;
      wrong.textContent = `${error.message} ${error.remedy ?? ""}`;
      ready(false);
    }
  }

  function ready(isReady) {
    copy.disabled = submit.disabled = !isReady;
    yaml.classList.toggle("is-old", !isReady);
    if (!isReady) download.removeAttribute("href");
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied.");
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(yaml);
      announce("It is selected: copy it by keys.");
    }
  }

  async function submitted() {
    submit.disabled = true;
    try {
      await send("POST", `/namespaces/${encodeURIComponent(namespace)}/trainingjobs`, text);
      announce("Submitted.");
      dialog.close();
    } catch (error) {
      wrong.textContent = `${error.message} ${error.remedy ?? ""}`;
      submit.disabled = false;
    }
  }

  function destroy() {
    clearTimeout(waiting);
    current?.abort();
    dialog.remove();
  }

  replace(rows, differing.filter(({ path }) => path.startsWith("spec.")).map(setting));
  if (!fields.length) add();
  ready(false);
  ask();
  dialog.showModal();
  return { destroy };
}

/** Settings without the word that all begin with. */
function bare(path) {
  return path.replace(/^spec\./, "");
}
