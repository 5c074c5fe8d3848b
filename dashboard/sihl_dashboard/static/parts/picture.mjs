/** One picture as one job drew it, with what it shows and where its data is. */

import { address, pathOf } from "../api.mjs";
import { el, write } from "../dom.mjs";
import { integer } from "../format.mjs";

/**
 * @param {string} namespace
 * @param {string} project
 * @param {{job: string, label: string, picture: {step: number, head: string, attempt: number, file: string},
 *   isOne: boolean}} first
 * @returns {{node: HTMLElement, update: function(Object)}} as `keyed` wants it
 */
export function picture(namespace, project, first) {
  const image = el("img", { loading: "lazy", decoding: "async",
    onload: () => {
      broken.hidden = true;
      image.hidden = false;
      // Enlarged, a small picture shows its pixels, and no blur that nobody predicted.
      image.classList.toggle("small", image.naturalWidth < 600);
    },
    onerror: () => {
      broken.hidden = false;
      image.hidden = true;
    } });
  const broken = el("p", { class: "empty", hidden: true, text: "This picture cannot be shown." });
  const anchor = el("a", { target: "_blank", rel: "noopener" }, image, broken);
  const caption = el("figcaption", { class: "small faint" });
  let source = "";

  function update({ job, label, picture: found, isOne }) {
    const path = [found.step, found.head, found.attempt, found.file].map(encodeURIComponent).join("/");
    const next = address(`${pathOf(namespace, project, job)}/pictures/${path}`);
    write(caption, `${isOne ? "" : `${label} · `}step ${integer(found.step)}`);
    if (next === source) return;
    source = next;
    anchor.setAttribute("href", next);
    image.setAttribute("alt",
      `${found.file}: image, target and prediction as ${label} drew them at step ${found.step}`);
    image.setAttribute("src", next);
  }

  return { node: el("figure", { class: "picture" }, anchor, caption), update };
}
