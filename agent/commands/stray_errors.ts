/** Errors that nobody awaits. */

/** What nobody awaited must not pass unseen: the state of the process is unknown then, and it ends. */
export function catchStrayErrors(): { promise: Promise<never>; release: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {}); // seen by whoever races against it
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    reject(event.error ?? new Error(event.message));
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reject(event.reason);
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    promise,
    release() {
      globalThis.removeEventListener("error", onError);
      globalThis.removeEventListener("unhandledrejection", onRejection);
    },
  };
}
