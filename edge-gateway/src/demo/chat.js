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
    try {
      const body = { phone_number: login.phone.value, password: login.password.value };
      const { token, user } = await ask("/api/auth/login/", body);
      find(".name").textContent = user.full_name;
      signedIn({ section, find, token, user });
    } catch (error) {
      find(".name").textContent = error.message;
      return;
    }
    login.hidden = true;
    // The focus goes on to where there is something to do.
    document.querySelector(".login:not([hidden]) input")?.focus();
  });
  main.append(section);
}

// Posts JSON; an error says what the platform answered.
async function ask(path, body, token) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Token ${token}`;
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const result = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(result.detail ?? Object.values(result).flat()[0] ?? `That did not work (${answer.status})`);
  return result;
}

async function start([left, right]) {
  try {
    const people = { participants_ids: [left.user.id, right.user.id] };
    const room = await ask("/api/chat/rooms/get_or_create_private/", people, left.token);
    live(left, right.user, room);
    live(right, left.user, room);
    left.find(".write").text.focus();
  } catch (error) {
    for (const side of [left, right]) side.find(".name").textContent = error.message;
  }
}

function live({ section, find, token, user }, other, room) {
  const list = find(".messages");
  const write = find(".write");
  const rows = new Map();
  const waiting = new Map();
  const cut = find(".cut");
  let missed = false;
  let unread = true;
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
    cut.textContent = line.wanted ? "Cut" : "Connect again";
    if (state === "closed") presence();
    if (state === "live") read();
  });
  on("message", (message) => {
    const own = message.client_msg_id && waiting.get(message.client_msg_id);
    if (own) {
      own.remove();
      waiting.delete(message.client_msg_id);
    }
    show(message);
    if (message.sender_id === user.id) return;
    unread = true;
    read();
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
    if (row) row.querySelector("small").textContent = code === "rate_limited" ? "waiting: too fast" : `not sent: ${code}`;
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
    list.scrollTop = list.scrollHeight;
    waiting.set(line.send(text), row);
  });
  cut.addEventListener("click", () => line.wanted ? line.cut() : line.connect());
  section.addEventListener("focusin", read);
  for (const control of [...write.elements, cut]) control.disabled = false;
  line.connect();

  // Whoever is on this side sees what has come.
  function read() {
    if (!unread || missed || !line.open || !section.contains(document.activeElement) || !document.hasFocus()) return;
    unread = false;
    line.read();
  }

  function show(message) {
    if (rows.has(message.message_id)) return;
    const row = bubble(message.text, message.sender_id === user.id);
    if (missed && message.sender_id !== user.id) row.classList.add("missed");
    row.dataset.sequence = message.sequence;
    rows.set(message.message_id, row);
    const read = message.receipts?.some((receipt) => receipt.read);
    const delivered = message.receipts?.some((receipt) => receipt.delivered);
    receipt(message.message_id, read ? "read" : delivered ? "delivered" : "sent");
    // What waits comes after what is stored.
    for (const row of waiting.values()) list.append(row);
    list.scrollTop = list.scrollHeight;
  }

  function bubble(text, mine) {
    const row = document.createElement("li");
    const words = document.createElement("span");
    words.textContent = text;
    row.append(words, document.createElement("small"));
    row.classList.toggle("mine", mine);
    list.append(row);
    return row;
  }

  // States move forward only.
  function receipt(id, state) {
    const row = rows.get(id);
    const order = ["sent", "delivered", "read"];
    if (!row || order.indexOf(row.dataset.receipt) >= order.indexOf(state)) return;
    row.dataset.receipt = state;
    const note = row.classList.contains("mine") ? ` · ${state}` : row.classList.contains("missed") ? " · missed" : "";
    row.querySelector("small").textContent = `#${row.dataset.sequence}${note}`;
  }

  // Without an argument: nobody knows, while this side is cut off.
  function presence(online, lastSeen) {
    const badge = find(".other");
    badge.classList.toggle("online", online === true);
    const seen = lastSeen ? `, last seen ${new Date(lastSeen).toLocaleTimeString()}` : "";
    const state = { true: "is online", false: `is offline${seen}` }[online] ?? "may be anywhere";
    badge.textContent = `${other.full_name} ${state}`;
  }
}
