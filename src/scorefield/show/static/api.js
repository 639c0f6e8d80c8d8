// Requests to the server of this page: answers come as lines of JSON while it computes.

export const about = async () => (await fetch("api/about")).json();

// Runs a computation; `see` takes each event. Returns the event with the result, or throws its error.
export async function compute(name, request, see, file = null, signal = undefined) {
  const headers = file
    ? { "content-type": "application/octet-stream", "x-request": ascii(JSON.stringify(request)) }
    : { "content-type": "application/json" };
  const body = file ?? JSON.stringify(request);
  let answer;
  try {
    answer = await fetch(`api/${name}`, { method: "POST", headers, body, signal });
  } catch (error) {
    throw signal?.aborted ? error : new Error("the server has ended: run scorefield show again");
  }
  if (!answer.ok) throw new Error(await reason(answer));
  for await (const event of lines(answer.body)) {
    if (event.error) throw new Error(event.error);
    if (event.result) return event;
    see(event);
  }
  throw new Error("the server has ended: run scorefield show again");
}

export const stop = () => fetch("api/stop", { method: "POST" });

// Headers hold ASCII alone: other characters are escaped, as JSON allows.
const ascii = (text) => text.replace(/[\u0080-\uffff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim() || `the server answered ${answer.status}`;
  }
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

// Numbers of the server, `{shape, dtype, data}`, as `{shape, values}`.
export function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  const values = packed.dtype === "f8" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  return { shape: packed.shape, values };
}
