"use strict";
// Atoms in 3D: orthographic, one shaded ball an atom; WebGL 2 where there is one, else flat discs.
const decode = (text, Type) => new Type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const multiply = (a, b) => a.map((_, k) => [0, 1, 2].reduce((s, j) => s + a[3 * Math.floor(k / 3) + j] * b[3 * j + (k % 3)], 0));
const spin = (dx, dy) => {
  const [c, s, d, t] = [Math.cos(dx), Math.sin(dx), Math.cos(dy), Math.sin(dy)];
  return multiply([1, 0, 0, 0, d, -t, 0, t, d], [c, 0, s, 0, 1, 0, -s, 0, c]);
};
// Rows are right, up and towards the reader, in x, y, z.
const VIEWS = { x: [0, 0, 1, 0, 1, 0, -1, 0, 0], y: [1, 0, 0, 0, 0, 1, 0, -1, 0], z: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
const START = multiply(spin(-0.45, 0.3), VIEWS.z);

const VERTEX = `#version 300 es
uniform mat3 turn; uniform vec2 view; uniform float radius, size, reach, cut;
in vec3 place; in vec3 colour; out vec3 tint; out float depth;
void main() {
  vec3 r = turn * place;
  depth = 0.5 - 0.5 * r.z / reach; tint = colour;
  gl_Position = r.z > cut ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(r.xy * view, 2.0 * depth - 1.0, 1.0);
  gl_PointSize = max(2.0, size);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform float radius, reach; uniform vec3 paper; in vec3 tint; in float depth; out vec4 shown;
void main() {
  vec2 p = vec2(2.0, -2.0) * gl_PointCoord + vec2(-1.0, 1.0);
  float d = dot(p, p);
  if (d > 1.0) discard;
  vec3 n = vec3(p, sqrt(1.0 - d));
  float lit = 0.42 + 0.62 * max(0.0, dot(n, normalize(vec3(-0.4, 0.6, 0.8))));
  float spark = pow(max(0.0, dot(n, normalize(vec3(-0.25, 0.4, 0.95)))), 40.0);
  vec3 ball = tint * lit * smoothstep(1.0, 0.86, d * 0.9) + 0.25 * spark;
  shown = vec4(mix(ball, paper, 0.55 * clamp(depth * 1.15 - 0.15, 0.0, 1.0)), 1.0);
  gl_FragDepth = clamp(depth - 0.5 * n.z * radius / reach, 0.0, 1.0);
}`;

function webgl(canvas, places) {
  const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const buffer = (name, type, normal) => {
    const made = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, made);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, type, normal, 0, 0);
    return made;
  };
  buffer("place", gl.FLOAT, false);
  gl.bufferData(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
  const colours = buffer("colour", gl.UNSIGNED_BYTE, true);
  const at = (name) => gl.getUniformLocation(program, name);
  return {
    paint(values) { gl.bindBuffer(gl.ARRAY_BUFFER, colours); gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW); },
    draw(s) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(...s.paper.map((v) => v / 255), 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.uniformMatrix3fv(at("turn"), true, s.turn);
      gl.uniform2f(at("view"), 2 * s.scale / canvas.width, 2 * s.scale / canvas.height);
      gl.uniform1f(at("radius"), s.radius);
      gl.uniform1f(at("size"), 2 * s.radius * s.scale);
      gl.uniform1f(at("reach"), s.reach + s.radius);
      gl.uniform1f(at("cut"), s.cut);
      gl.uniform3f(at("paper"), ...s.paper.map((v) => v / 255));
      gl.drawArrays(gl.POINTS, 0, places.length / 3);
    },
  };
}

function discs(canvas, places) {
  const pen = canvas.getContext("2d"), count = places.length / 3;
  let colours = new Uint8Array(3 * count);
  return {
    paint(values) { colours = values; },
    draw(s) {
      const { width, height } = canvas, t = s.turn, by = s.moving ? Math.ceil(count / 6000) : 1, seen = [];
      pen.fillStyle = `rgb(${s.paper})`;
      pen.fillRect(0, 0, width, height);
      for (let i = 0; i < count; i += by) {
        const [x, y, z] = places.subarray(3 * i, 3 * i + 3), depth = t[6] * x + t[7] * y + t[8] * z;
        if (depth <= s.cut) seen.push([depth, t[0] * x + t[1] * y + t[2] * z, t[3] * x + t[4] * y + t[5] * z, i]);
      }
      seen.sort((a, b) => a[0] - b[0]);
      for (const [depth, x, y, i] of seen) {
        const pale = 0.5 * Math.min(1, Math.max(0, 0.5 - (0.5 * depth) / s.reach));
        const mixed = [0, 1, 2].map((k) => Math.round(colours[3 * i + k] * (1 - pale) + s.paper[k] * pale));
        pen.beginPath();
        pen.arc(width / 2 + x * s.scale, height / 2 - y * s.scale, Math.max(1, s.radius * s.scale), 0, 2 * Math.PI);
        pen.fillStyle = `rgb(${mixed})`;
        pen.fill();
        pen.strokeStyle = `rgb(${mixed.map((v) => Math.round(0.6 * v))})`;
        pen.stroke();
      }
    },
  };
}

function show(box) {
  const given = JSON.parse(box.dataset.atoms), find = (name) => box.querySelector(name);
  const places = Float32Array.from(decode(given.places, Int16Array), (v) => v * given.step);
  const [canvas, over] = [find(".balls"), find(".marks")], pen = over.getContext("2d"), ramp = given.ramp.map(rgb);
  let reach = given.radius, ratio = 1, waiting = false;
  for (let i = 0; i < places.length; i += 3) reach = Math.max(reach, Math.hypot(...places.subarray(i, i + 3)));
  const state = { turn: START, zoom: 1, radius: given.radius, reach, cut: 2 * reach, scale: 1, paper: [255, 255, 255], moving: false };
  const painter = webgl(canvas, places) || discs(canvas, places);

  function paint() {
    const chosen = given.channels[find("select").value], index = decode(chosen.values, Uint8Array), key = find(".key");
    const table = chosen.colours ? chosen.colours.map(rgb) : ramp;
    const values = new Uint8Array(3 * index.length);
    index.forEach((v, i) => values.set(table[v], 3 * i));
    painter.paint(values);
    key.replaceChildren();
    const add = (text, colour) => {
      const part = document.createElement("span");
      if (colour) { const dot = document.createElement("i"); dot.style.background = colour; part.append(dot); }
      part.append(text);
      key.append(part);
    };
    if (chosen.colours) chosen.labels.forEach((text, i) => add(text, chosen.colours[i]));
    else {
      const bar = document.createElement("b");
      bar.style.background = `linear-gradient(to right, ${given.ramp.filter((_, i) => i % 15 === 0)})`;
      add(chosen.low); key.append(bar); add(chosen.high);
    }
  }

  function marks() {
    const [w, h] = [over.width, over.height], ink = state.printing ? "#000" : getComputedStyle(box).color, angstrom = w / 5 / state.scale;
    const power = 10 ** Math.floor(Math.log10(angstrom)), length = [5, 2, 1].find((v) => v * power <= angstrom) * power;
    pen.clearRect(0, 0, w, h);
    [pen.fillStyle, pen.strokeStyle, pen.font, pen.lineWidth] = [ink, ink, `${12 * ratio}px system-ui, sans-serif`, 1.5 * ratio];
    pen.textAlign = "center";
    pen.fillRect(16 * ratio, h - 18 * ratio, length * state.scale, 3 * ratio);
    const text = length >= 10 ? `${+(length / 10).toPrecision(3)} nm` : `${+length.toPrecision(3)} Å`;
    pen.fillText(text, 16 * ratio + (length * state.scale) / 2, h - 24 * ratio);
    const [cx, cy, arm] = [w - 46 * ratio, h - 46 * ratio, 26 * ratio];
    ["x", "y", "z"].forEach((name, k) => {
      const [x, y] = [state.turn[k] * arm, -state.turn[3 + k] * arm];
      pen.globalAlpha = state.turn[6 + k] < -0.2 ? 0.45 : 1;
      pen.beginPath(); pen.moveTo(cx, cy); pen.lineTo(cx + x, cy + y); pen.stroke();
      pen.fillText(name, cx + 1.32 * x, cy + 1.32 * y + 4 * ratio);
    });
    pen.globalAlpha = 1;
  }

  function draw() {
    waiting = false;
    ratio = Math.min(2, window.devicePixelRatio || 1);
    const { clientWidth: w, clientHeight: h } = find(".stage");
    for (const one of [canvas, over]) if (one.width !== Math.round(w * ratio) || one.height !== Math.round(h * ratio)) {
      one.width = Math.round(w * ratio); one.height = Math.round(h * ratio);
    }
    state.scale = (state.zoom * Math.min(canvas.width, canvas.height)) / (2.1 * (state.reach + state.radius));
    const behind = state.printing ? "255 255 255" : getComputedStyle(find(".stage")).backgroundColor;
    state.paper = behind.match(/\d+/g).slice(0, 3).map(Number);
    painter.draw(state);
    marks();
    box.dataset.drawn = "yes";
  }
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
  const zoom = (by) => { state.zoom = Math.min(60, Math.max(0.2, state.zoom * by)); redraw(); };
  const rotate = (dx, dy) => { state.turn = multiply(spin(dx, dy), state.turn); redraw(); };

  const held = new Map();
  over.addEventListener("pointerdown", (e) => { held.set(e.pointerId, [e.clientX, e.clientY]); over.setPointerCapture(e.pointerId); over.focus({ preventScroll: true }); });
  over.addEventListener("pointermove", (e) => {
    const last = held.get(e.pointerId);
    if (!last) return;
    const others = [...held].filter(([id]) => id !== e.pointerId).map(([, p]) => p), now = [e.clientX, e.clientY];
    const far = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]) || 1;
    state.moving = true;
    if (others.length) zoom(far(now, others[0]) / far(last, others[0]));
    else rotate((now[0] - last[0]) * 0.008, (now[1] - last[1]) * 0.008);
    held.set(e.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) over.addEventListener(name, (e) => { held.delete(e.pointerId); state.moving = held.size > 0; redraw(); });
  over.addEventListener("wheel", (e) => { if (document.activeElement === over) { e.preventDefault(); zoom(Math.exp(-0.0015 * e.deltaY)); } }, { passive: false });
  const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  over.addEventListener("keydown", (e) => {
    if (keys[e.key]) rotate(...keys[e.key]);
    else if (e.key === "+" || e.key === "-") zoom(e.key === "+" ? 1.2 : 1 / 1.2);
    else return;
    e.preventDefault();
  });
  box.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => { state.turn = VIEWS[button.dataset.view] || START; if (button.dataset.view === "start") state.zoom = 1; redraw(); }));
  box.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zoom(+button.dataset.zoom)));
  find("[name=size]").addEventListener("input", (e) => { state.radius = given.radius * e.target.value; redraw(); });
  find("[name=cut]").addEventListener("input", (e) => { state.cut = +e.target.value >= 1 ? 2 * reach : reach * (2 * e.target.value - 1); redraw(); });
  find("select").addEventListener("change", () => { paint(); redraw(); });
  given.channels.forEach((one, i) => find("select").add(new Option(one.name, i)));
  new ResizeObserver(redraw).observe(find(".stage"));
  for (const [name, printing] of [["beforeprint", true], ["afterprint", false]])
    window.addEventListener(name, () => { state.printing = printing; draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  paint();
  redraw();
}
document.querySelectorAll(".atoms3d").forEach(show);
