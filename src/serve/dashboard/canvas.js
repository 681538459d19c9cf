// A drawing that can be moved and enlarged: by dragging, wheel, two fingers, keys and `zoom`.

const MOST = 2.5;
const LEAST = 0.04;

/** Moves `content`, an SVG group of `size` {width, height}, inside `frame`, its SVG. */
export function movable(frame, content) {
  const at = { x: 0, y: 0, scale: 1 };
  let size = { width: 1, height: 1 };
  const fingers = new Map();
  let apart = 0;

  const apply = () => content.setAttribute("transform", `translate(${at.x} ${at.y}) scale(${at.scale})`);

  function zoom(factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
    const scale = Math.max(LEAST, Math.min(MOST, at.scale * factor));
    at.x = x - ((x - at.x) * scale) / at.scale;
    at.y = y - ((y - at.y) * scale) / at.scale;
    at.scale = scale;
    apply();
  }

  /** Shows all of it, but not smaller than `readable`: then its left end, at the height of the `nodes` there. */
  function fit(next, readable = 0, nodes = []) {
    size = next ?? size;
    const whole = Math.min(frame.clientWidth / size.width, frame.clientHeight / size.height, 1);
    at.scale = Math.max(whole, readable);
    at.x = size.width * at.scale <= frame.clientWidth ? (frame.clientWidth - size.width * at.scale) / 2 : 0;
    const left = nodes.filter(({ x }) => x * at.scale < frame.clientWidth / 2).map(({ y }) => y);
    const middle =
      left.length && size.height * at.scale > frame.clientHeight
        ? left.reduce((sum, y) => sum + y, 0) / left.length
        : size.height / 2;
    at.y = frame.clientHeight / 2 - middle * at.scale;
    apply();
  }

  function centre(x, y) {
    at.x = frame.clientWidth / 2 - x * at.scale;
    at.y = frame.clientHeight / 2 - y * at.scale;
    apply();
  }

  frame.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      if (event.ctrlKey || event.deltaMode === 1 || Math.abs(event.deltaY) >= 50) {
        zoom(
          Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)),
          event.clientX - box.left,
          event.clientY - box.top,
        );
        return;
      }
      at.x -= event.deltaX;
      at.y -= event.deltaY;
      apply();
    },
    { passive: false },
  );

  frame.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    apart = distance(fingers);
  });
  frame.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) {
      const now = distance(fingers);
      const box = frame.getBoundingClientRect();
      if (apart) zoom(now / apart, event.clientX - box.left, event.clientY - box.top);
      apart = now;
      return;
    }
    // Held from here on, so that a click on a node, which does not move, still reaches it.
    if (Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) > 0)
      frame.setPointerCapture(event.pointerId);
    at.x += event.clientX - before.clientX;
    at.y += event.clientY - before.clientY;
    apply();
  });
  const lift = (event) => fingers.delete(event.pointerId);
  frame.addEventListener("pointerup", lift);
  frame.addEventListener("pointercancel", lift);
  frame.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (moves[event.key]) {
      at.x += moves[event.key][0];
      at.y += moves[event.key][1];
      apply();
    } else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  return { zoom, fit, centre };
}

function distance(fingers) {
  if (fingers.size !== 2) return 0;
  const [a, b] = [...fingers.values()];
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}
