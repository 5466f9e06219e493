/** The address of this machine on the way to an output: in the original's plants that is the one in the VPN. */
import { connect } from "node:net";

const connectMs = 3_000;

/** The local address of a TCP connection to the URL's host and port; undefined when none comes about. */
export function localAddressTowards(url: string): Promise<string | undefined> {
  const { hostname, port, protocol } = new URL(url);
  const target = {
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
  };
  return new Promise((done) => {
    const socket = connect(target);
    const finish = (address: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      done(address?.replace(/^::ffff:/, "").replace(/%.*$/, ""));
    };
    const timer = setTimeout(() => finish(undefined), connectMs);
    socket.once("connect", () => finish(socket.localAddress));
    socket.on("error", () => finish(undefined));
  });
}
