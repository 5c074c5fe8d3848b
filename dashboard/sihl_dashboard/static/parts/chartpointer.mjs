/** Mouse and wheel on a chart: drag zooms, shift and drag pans, a click picks a point. */
const CLICK_PX = 4;
const NEAR_PX = 30;
const WHEEL = 0.0022;
/** A second click within it makes a double click, which is another wish. */
const DOUBLE_MS = 260;

/**
 * @param {object} context the chart's: its plot, props, and what it can do
 */
export function pointer(context) {
  let pressed = null;
  let pan = null;
  let over = null;
  let waiting = 0;

  function down(event, handler) {
    if (event.button !== 0) return;
    pressed = { x: event.clientX, y: event.clientY };
    if (!event.shiftKey) {
      handler(event);
      return;
    }
    pan = { x: event.clientX, ...context.sight() };
    document.addEventListener("mousemove", drag);
    document.addEventListener("mouseup", drop, { once: true });
  }

  function drag(event) {
    const perPixel = (pan.last - pan.first) / over.clientWidth;
    context.zoom(shifted(pan, (pan.x - event.clientX) * perPixel, context.props.bounds));
  }

  function drop() {
    document.removeEventListener("mousemove", drag);
    pan = null;
  }

  function click(event) {
    clearTimeout(waiting);
    const isStill = pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) <= CLICK_PX;
    if (!isStill || event.detail > 1 || !context.props.onPoint) return;
    const near = nearestLine(event.clientY - over.getBoundingClientRect().top);
    if (near === null) return;
    const at = context.plot.cursor.idxs[near + 1];
    waiting = setTimeout(() => context.point(near, at), DOUBLE_MS);
  }

  function nearestLine(top) {
    const { plot, props } = context;
    let [best, least] = [null, NEAR_PX];
    props.lines.forEach((line, index) => {
      const at = plot.cursor.idxs?.[index + 1];
      if (at == null || line.last[at] == null || !context.isShown(index)) return;
      const away = Math.abs(plot.valToPos(line.last[at], "y") - top);
      if (away < least) [best, least] = [index, away];
    });
    return best;
  }

  /** Pinching on a touch pad comes as a wheel with ctrl; a plain wheel scrolls the page. */
  function wheel(event) {
    const isZoom = event.ctrlKey || event.metaKey;
    const across = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    if (!isZoom && Math.abs(across) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
    event.preventDefault();
    const sight = context.sight();
    const width = sight.last - sight.first;
    if (isZoom) {
      const at = context.plot.posToVal(event.clientX - over.getBoundingClientRect().left, "x");
      context.zoom(scaled(sight, at, Math.exp(event.deltaY * WHEEL), context.props.bounds));
    } else {
      context.zoom(shifted(sight, (across / over.clientWidth) * width, context.props.bounds));
    }
  }

  return {
    bind: {
      mousedown: (_u, _target, handler) => (event) => down(event, handler),
      dblclick: () => () => context.zoom(null),
    },
    attach(element) {
      over = element;
      over.addEventListener("click", click);
      over.addEventListener("wheel", wheel, { passive: false });
    },
    destroy() {
      clearTimeout(waiting);
      drop();
    },
  };
}

/**
 * A range moved along, not beyond the bounds.
 * @param {{first: number, last: number}} range
 */
export function shifted({ first, last }, by, bounds) {
  const most = Math.max(0, bounds.last - last);
  const least = Math.min(0, bounds.first - first);
  const move = Math.min(most, Math.max(least, by));
  return { first: first + move, last: last + move };
}

/**
 * A range made wider or narrower about a place; null once it holds all there is.
 * @param {{first: number, last: number}} range
 */
export function scaled({ first, last }, at, factor, bounds) {
  const from = Math.max(bounds.first, at - (at - first) * factor);
  const to = Math.min(bounds.last, at + (last - at) * factor);
  if (from <= bounds.first && to >= bounds.last) return null;
  return to > from ? { first: from, last: to } : { first, last };
}
