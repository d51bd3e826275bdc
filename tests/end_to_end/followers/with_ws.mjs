// Follows with npm's `ws`, told what to do line by line: [what, value] comes, the answer goes, both as JSON.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(new URL("../npm/package.json", import.meta.url))("ws");
const messages = [];
const waiting = [];
let socket;

const take = (message) => (waiting.length ? waiting.shift()(message) : messages.push(message));

const deeds = {
    open: (url) => new Promise((opened, failed) => {
        socket = new WebSocket(url);
        socket.on("message", (data, isBinary) => take(isBinary ? "octets" : data.toString()));
        socket.on("close", (code) => take(code));
        socket.on("open", () => opened(socket.extensions));
        socket.on("error", failed);
    }),
    next: () => (messages.length ? messages.shift() : new Promise((taken) => waiting.push(taken))),
    say: (text) => { socket.send(text); return null; },
    close: (code) => { socket.close(code); return deeds.next(); },
};

for await (const line of createInterface({ input: process.stdin })) {
    const [what, value] = JSON.parse(line);
    console.log(JSON.stringify(await deeds[what](value)));
}
