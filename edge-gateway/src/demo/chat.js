// The page: two sides that know nothing of each other but a phone number.

import { Room } from "./room.js";

// The demo people of `plaza up`; on a real platform one types one's own.
const PEOPLE = [
  { phone: "50500000001", password: "Plaza-demo-1" },
  { phone: "50500000002", password: "Plaza-demo-1" },
];

const main = document.getElementById("sides");
const template = document.getElementById("side");
const sides = PEOPLE.map((person, index) => new Promise((signedIn) => build(person, index, signedIn)));
Promise.all(sides).then(start);

function build(person, index, signedIn) {
  const section = template.content.cloneNode(true).firstElementChild;
  const find = (selector) => section.querySelector(selector);
  section.setAttribute("aria-label", index ? "Right side" : "Left side");
  const login = find(".login");
  login.phone.value = person.phone;
  login.password.value = person.password;
  login.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch("/api/auth/login/", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ phone_number: login.phone.value, password: login.password.value }),
    });
    const body = await answer.json();
    if (!answer.ok) {
      find(".name").textContent = body.detail ?? "That did not work";
      return;
    }
    login.hidden = true;
    find(".name").textContent = body.user.full_name;
    signedIn({ section, find, token: body.token, user: body.user });
  });
  main.append(section);
}

async function start([left, right]) {
  const answer = await fetch("/api/chat/rooms/get_or_create_private/", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Token ${left.token}` },
    body: JSON.stringify({ participants_ids: [left.user.id, right.user.id] }),
  });
  const room = await answer.json();
  if (!answer.ok) {
    for (const side of [left, right]) side.find(".name").textContent = room.detail;
    return;
  }
  live(left, right.user, room);
  live(right, left.user, room);
}

function live({ find, token, user }, other, room) {
  const list = find(".messages");
  const write = find(".write");
  const rows = new Map();
  const waiting = new Map();
  let missed = false;
  let quiet;

  for (const message of room.messages) {
    show({ ...message, message_id: message.id, text: message.content, sender_id: message.sender.id, sequence: message.sequence });
  }
  const last = room.messages.at(-1)?.sequence ?? 0;
  const line = new Room(token, room.id, last);
  const on = (type, act) => line.addEventListener(type, ({ detail }) => act(detail));

  on("state", ({ state, code }) => {
    const badge = find(".state");
    badge.dataset.state = state;
    badge.textContent = code && code !== 1005 ? `${state} (${code})` : state;
    missed = state === "catching up";
    find(".cut").disabled = state === "closed";
    find(".again").disabled = state !== "closed";
    if (state === "live") line.read();
    if (state === "closed") presence(false);
  });
  on("message", (message) => {
    const own = message.client_msg_id && waiting.get(message.client_msg_id);
    if (own) {
      own.remove();
      waiting.delete(message.client_msg_id);
    }
    show(message);
    if (!missed && message.sender_id !== user.id && document.hasFocus()) line.read();
  });
  on("message_delivered", ({ message_id }) => receipt(message_id, "delivered"));
  on("messages_read", ({ message_ids, user_id }) => {
    if (user_id !== user.id) message_ids.forEach((id) => receipt(id, "read"));
  });
  on("message_edited", ({ message_id, text }) => {
    const row = rows.get(message_id);
    if (row) row.querySelector("span").textContent = text;
  });
  on("message_deleted", ({ message_id }) => {
    const row = rows.get(message_id);
    if (row) row.querySelector("span").textContent = "deleted";
  });
  on("typing", ({ is_typing }) => {
    clearTimeout(quiet);
    find(".typing").textContent = is_typing ? `${other.full_name} is writing…` : "";
    if (is_typing) quiet = setTimeout(() => { find(".typing").textContent = ""; }, 4000);
  });
  on("online_users_list", ({ users }) => presence(users.includes(other.id)));
  on("presence.online", ({ user_id }) => user_id === other.id && presence(true));
  on("presence.offline", ({ user_id, last_seen }) => user_id === other.id && presence(false, last_seen));
  on("error", ({ code, client_msg_id }) => {
    const row = client_msg_id && waiting.get(client_msg_id);
    if (row) row.querySelector("small").textContent = `not sent: ${code}`;
  });
  on("frame", (frame) => {
    const item = document.createElement("li");
    item.textContent = JSON.stringify(frame);
    const frames = find(".frames");
    frames.prepend(item);
    find(".count").textContent = Number(find(".count").textContent) + 1;
    if (frames.children.length > 200) frames.lastElementChild.remove();
  });

  let typed = 0;
  write.text.addEventListener("input", () => {
    if (Date.now() - typed < 2000) return;
    typed = Date.now();
    line.typing(true);
  });
  write.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = write.text.value;
    if (!text.trim()) return;
    write.text.value = "";
    typed = 0;
    line.typing(false);
    const row = bubble(text, true);
    row.classList.add("waiting");
    row.querySelector("small").textContent = "waiting";
    waiting.set(line.send(text), row);
  });
  find(".cut").addEventListener("click", () => { line.cut(); find(".again").focus(); });
  find(".again").addEventListener("click", () => { line.connect(); write.text.focus(); });
  for (const control of write.elements) control.disabled = false;
  line.connect();

  function show(message) {
    if (rows.has(message.message_id)) return;
    const row = bubble(message.text, message.sender_id === user.id);
    if (missed) row.classList.add("missed");
    row.dataset.sequence = message.sequence;
    rows.set(message.message_id, row);
    const read = message.receipts?.some((receipt) => receipt.read);
    const delivered = message.receipts?.some((receipt) => receipt.delivered);
    receipt(message.message_id, read ? "read" : delivered ? "delivered" : "sent");
    // What waits comes after what is stored.
    for (const row of waiting.values()) list.append(row);
  }

  function bubble(text, mine) {
    const row = document.createElement("li");
    const words = document.createElement("span");
    words.textContent = text;
    row.append(words, document.createElement("small"));
    row.classList.toggle("mine", mine);
    list.append(row);
    list.scrollTop = list.scrollHeight;
    return row;
  }

  // States move forward only.
  function receipt(id, state) {
    const row = rows.get(id);
    const order = ["sent", "delivered", "read"];
    if (!row || order.indexOf(row.dataset.receipt) >= order.indexOf(state)) return;
    row.dataset.receipt = state;
    const own = row.classList.contains("mine") ? ` · ${state}` : "";
    row.querySelector("small").textContent = `#${row.dataset.sequence}${own}`;
  }

  function presence(online, lastSeen) {
    const badge = find(".other");
    badge.classList.toggle("online", online);
    const seen = lastSeen ? `, last seen ${new Date(lastSeen).toLocaleTimeString()}` : "";
    badge.textContent = `${other.full_name} is ${online ? "online" : `offline${seen}`}`;
  }
}
