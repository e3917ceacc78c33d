// What changes something, or carries a request, says that it comes from the console.

export const send = (method, path, body) => fetch(path, {
  method, headers: { "x-ringfence-console": "1", ...(body ? { "content-type": "application/json" } : {}) }, body: body ? JSON.stringify(body) : undefined,
});
