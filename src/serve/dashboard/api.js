// Asks the engine. One place knows where it is, holds the token and turns what goes wrong into an `ApiError`.

const BASE = new URL(".", document.baseURI);

/** An error that the engine named, or `code: "unreachable"`. `details` is its whole error member. */
export class ApiError extends Error {
  constructor(status, details) {
    super(details.message);
    this.status = status;
    this.code = details.code;
    this.details = details;
  }
}

const TOKEN = "tillrace.token";
let asked = null;

const token = () => {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
};

/** The address of a path with parameters. `streaming` adds the token, as streams cannot carry a header. */
export function address(path, query = {}, streaming = false) {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.append(key, value);
  }
  if (streaming && token()) url.searchParams.set("token", token());
  return url;
}

export const viewPath = (name, rest = "") => `views/${encodeURIComponent(name)}${rest}`;

/** GET, as JSON. */
export const get = (path, query, signal) => ask(address(path, query), { signal });

/** POST of a JSON value, as JSON. */
export const post = (path, body) =>
  ask(address(path), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function ask(url, init) {
  for (;;) {
    const held = token();
    const headers = { Accept: "application/json", ...init.headers };
    if (held) headers.Authorization = `Bearer ${held}`;
    const response = await fetch(url, { ...init, headers, cache: "no-store" }).catch((cause) => {
      if (cause.name === "AbortError") throw cause;
      throw new ApiError(0, { code: "unreachable", message: "the engine does not answer" });
    });
    if (response.status === 401) {
      await askForToken(held);
      continue;
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer;
    throw new ApiError(
      response.status,
      answer?.error ?? { code: "unreadable", message: `the engine answered ${response.status}` },
    );
  }
}

/** A file of a view's rows. With a token a plain link would be refused, so the rows are fetched and saved. */
export async function download(name, format, query) {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  const response = await fetch(address(viewPath(name), { ...query, format, limit: 100000 }), { headers });
  if (!response.ok)
    throw new ApiError(response.status, { code: "download", message: `the engine answered ${response.status}` });
  save(await response.blob(), `${name}.${format}`);
}

/** Saves a blob under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Opens the dialog once, however many requests were refused; resolves when a token was given. */
function askForToken(refused) {
  if (token() !== refused) return Promise.resolve();
  asked ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const input = dialog.querySelector("input");
    dialog.querySelector("[data-fault]").hidden = !refused;
    input.value = "";
    const cancel = (event) => event.preventDefault();
    dialog.addEventListener("cancel", cancel);
    dialog.addEventListener(
      "close",
      () => {
        dialog.removeEventListener("cancel", cancel);
        sessionStorage.setItem(TOKEN, input.value.trim());
        asked = null;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asked;
}
