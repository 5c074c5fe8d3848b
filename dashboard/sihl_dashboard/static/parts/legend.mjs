/** The jobs behind the curves: which line is whose, and which are shown. */
import { el, keyed } from "../dom.mjs";
import { lookOf, swatch } from "./colours.mjs";
import { labelsOf } from "./jobnames.mjs";

/**
 * @param {HTMLElement} root
 * @param {{jobs: string[], view: {hidden: string[]}, focused: string|null,
 *   onHide: (job: string) => void, onFocus: (job: string|null) => void}} props
 */
export function legend(root, props) {
  const list = el("ul", { class: "legend", "aria-label": "Jobs shown" });
  root.append(list);

  function create(job) {
    const button = el("button", {
      type: "button",
      class: "legend-job",
      onclick: () => props.onHide(job),
      onmouseenter: () => props.onFocus(job),
      onmouseleave: () => props.onFocus(null),
      onfocus: () => props.onFocus(job),
      onblur: () => props.onFocus(null),
    });
    const name = el("span", {});
    button.append(swatch(job), name);
    return {
      node: el("li", {}, button),
      update() {
        const isShown = !props.view.hidden.includes(job);
        name.textContent = labelsOf(props.jobs).get(job);
        button.setAttribute("aria-pressed", String(isShown));
        button.title = `${job}: ${lookOf(job).dashName}, ${isShown ? "shown" : "hidden"}`;
        button.classList.toggle("is-focused", job === props.focused);
      },
    };
  }

  function render() {
    list.hidden = props.jobs.length < 2;
    keyed(list, props.jobs, (job) => job, create);
  }
  render();

  return {
    update(next) {
      props = { ...props, ...next };
      render();
    },
  };
}
