// The REST interface of the service, and the token for it.

const MATTERS = "token";
const given = new URLSearchParams(location.hash.slice(1)).get(MATTERS);
if (given !== null) {
  sessionStorage.setItem(MATTERS, given);
  history.replaceState(null, "", location.pathname);
}

export function setToken(token) {
  sessionStorage.setItem(MATTERS, token);
}

export class Refusal extends Error {
  constructor(status, detail, wait) {
    super(detail);
    Object.assign(this, { status, wait });
  }
}

export async function call(path, options = {}) {
  const token = sessionStorage.getItem(MATTERS);
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service cannot be reached. Is it still running?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  throw new Refusal(answer.status, said.detail || `The service answered ${answer.status}.`, wait);
}

export const json = async (path, options) => (await call(path, options)).json();
export const blob = async (path, options) => (await call(path, options)).blob();

export function form(fields) {
  const data = new FormData();
  for (const [name, value, file] of fields) {
    if (file) data.append(name, value, file);
    else data.append(name, value);
  }
  return data;
}
