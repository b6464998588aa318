// One person's connection to one room. It remembers the last sequence it was told and comes back with it, so nothing is
// missed; and it sends again, under the same name, what was not acknowledged, so nothing is said twice.

export class Room extends EventTarget {
  #token; #number; #socket; #presence; #last = 0; #waiting = new Map(); #wanted = false; #tries = 0; #timer;

  constructor(token, number, last) {
    super();
    this.#token = token;
    this.#number = number;
    this.#last = last;
  }

  // Whether it is connected, or shall be as soon as that works.
  get wanted() { return this.#wanted; }

  get open() { return this.#socket?.readyState === WebSocket.OPEN; }

  connect() {
    this.#wanted = true;
    clearTimeout(this.#timer);
    this.#openRoom();
    this.#openPresence();
  }

  // As when the network goes: both sockets are gone, and what is written waits.
  cut() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    for (const socket of [this.#socket, this.#presence]) {
      if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
      socket?.close();
    }
    this.#tell("state", { state: "closed" });
  }

  // Answers the name under which the message comes back.
  send(text) {
    // Not randomUUID, which is for pages by https only.
    const name = `demo-${crypto.getRandomValues(new BigUint64Array(1))[0].toString(36)}`;
    this.#waiting.set(name, text);
    this.#offer(name);
    return name;
  }

  #offer(name) {
    const text = this.#waiting.get(name);
    if (text) this.#say({ type: "chat_message", text, client_msg_id: name });
  }

  read() { this.#say({ type: "mark_read" }); }

  typing(active) { this.#say({ type: "typing", is_typing: active }); }

  #say(frame) {
    if (this.open) this.#socket.send(JSON.stringify(frame));
  }

  #open(path) {
    const url = new URL(path, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("token", this.#token);
    return new WebSocket(url);
  }

  #openRoom() {
    if (this.#socket && this.#socket.readyState < WebSocket.CLOSING) return;
    this.#tell("state", { state: "connecting" });
    const socket = this.#socket = this.#open(`/ws/chat/${this.#number}/?after=${this.#last}`);
    socket.onopen = () => {
      this.#tries = 0;
      this.#tell("state", { state: "catching up", after: this.#last });
      for (const name of this.#waiting.keys()) this.#offer(name);
    };
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      // Signed out and removed are answers; everything else is weather.
      if (code === 4401 || code === 4403) this.#wanted = false;
      this.#tell("state", { state: "closed", code });
      this.#later();
    };
  }

  #later() {
    if (!this.#wanted) return;
    clearTimeout(this.#timer);
    const wait = Math.min(10_000, 250 * 2 ** this.#tries++) * (0.5 + Math.random());
    this.#timer = setTimeout(() => this.connect(), wait);
  }

  #openPresence() {
    if (this.#presence && this.#presence.readyState < WebSocket.CLOSING) return;
    const socket = this.#presence = this.#open("/ws/presence/");
    socket.onopen = () => socket.send(JSON.stringify({ type: "get_online_users" }));
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = () => { if (this.#presence === socket) this.#later(); };
  }

  #hear(frame) {
    this.#tell("frame", frame);
    switch (frame.type) {
      case "chat_message": {
        this.#waiting.delete(frame.client_msg_id);
        // The answer to a repeat is something we have.
        if (frame.sequence <= this.#last) return;
        this.#last = frame.sequence;
        return this.#tell("message", frame);
      }
      case "live": return this.#tell("state", { state: "live" });
      case "error": {
        const name = frame.client_msg_id;
        if (frame.code === "rate_limited") setTimeout(() => this.#offer(name), frame.retry_after_ms ?? 1000);
        else this.#waiting.delete(name);
        return this.#tell("error", frame);
      }
      default: return this.#tell(frame.type, frame);
    }
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
