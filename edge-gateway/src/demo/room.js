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

  get last() { return this.#last; }

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
    this.#socket?.close();
    this.#presence?.close();
  }

  send(text) {
    const name = `demo-${crypto.randomUUID()}`;
    this.#waiting.set(name, text);
    this.#say({ type: "chat_message", text, client_msg_id: name });
    return name;
  }

  read() { this.#say({ type: "mark_read" }); }

  typing(active) { this.#say({ type: "typing", is_typing: active }); }

  #say(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
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
      for (const [name, text] of this.#waiting) this.#say({ type: "chat_message", text, client_msg_id: name });
    };
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.#tell("state", { state: "closed", code });
      // Signed out and removed are answers; everything else is weather.
      if (!this.#wanted || code === 4401 || code === 4403) return;
      const wait = Math.min(10_000, 250 * 2 ** this.#tries++) * (0.5 + Math.random());
      this.#timer = setTimeout(() => this.connect(), wait);
    };
  }

  #openPresence() {
    if (this.#presence && this.#presence.readyState < WebSocket.CLOSING) return;
    const socket = this.#presence = this.#open("/ws/presence/");
    socket.onopen = () => socket.send(JSON.stringify({ type: "get_online_users" }));
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
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
        if (frame.code !== "rate_limited") this.#waiting.delete(frame.client_msg_id);
        return this.#tell("error", frame);
      }
      default: return this.#tell(frame.type, frame);
    }
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
