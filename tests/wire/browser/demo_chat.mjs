// The page `/demo/chat` in Chromium, as somebody without a mouse uses it: two people chat, one is cut off and comes back.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { Page } from "./chromium.mjs";

const { EDGE, CHROMIUM, PROFILE, PICTURES } = process.env;
const password = "Toro-bravo-7";
const people = [
  { name: "Izel", phone: "50577770001" },
  { name: "Domingo", phone: "50577770002" },
];
for (const { name, phone } of people) {
  const body = { phone_number: phone, password, role: "consumer", full_name: name, last_name: "Ensayo" };
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${EDGE}/api/auth/register/`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.ok([201, 400].includes(answer.status), await answer.text());
}

const page = await Page.open(CHROMIUM, PROFILE);

// What a side shows, by expressions that run in the page.
const [LEFT, RIGHT] = [0, 1].map((index) => `document.querySelectorAll(".side")[${index}]`);
const texts = (side, kind = "") => page.value(`[...${side}.querySelectorAll("li${kind} > span")].map((s) => s.textContent)`);
const shows = (side, text) => page.until(
  `[...${side}.querySelectorAll(".messages span")].some((span) => span.textContent === ${JSON.stringify(text)})`,
  `“${text}” is shown`,
);
const text = (side, selector) => page.value(`${side}.querySelector("${selector}").textContent`);
const is = (side, selector, what) =>
  page.until(`${what}.test(${side}.querySelector("${selector}").textContent)`, `${selector} is ${what}`);
const focus = () => page.value(`((e) => e.name || e.className || e.tagName)(document.activeElement)`);
const at = async (side, name) =>
  await page.value(`${side}.contains(document.activeElement)`) && await focus() === name;

/** Moves the focus with Tab, forwards or backwards, until it is on `name` of `side`. */
async function tab(side, name, shift = false) {
  const way = [];
  for (let presses = 0; presses < 20; presses++) {
    if (await at(side, name)) return;
    await page.press("Tab", { shift });
    way.push(await focus());
  }
  assert.fail(`Tab does not come to ${name}, but to ${way.join(", ")}`);
}

async function say(side, words) {
  await tab(side, "text", side === LEFT);
  await page.write(words);
  await page.press("Enter");
}

/** For whoever works on the page. */
async function photograph(name) {
  if (PICTURES) await writeFile(`${PICTURES}/${name}.png`, await page.picture());
}

const checks = {
  async "the page asks both sides to log in"() {
    await page.resize(1100, 900);
    await page.goto(`${EDGE}/demo/chat`);
    await page.until("document.querySelectorAll('.side').length === 2", "there are two sides");
  },

  async "a wrong password is told and can be corrected"() {
    await tab(LEFT, "phone");
    await page.write(people[0].phone);
    await page.press("Tab");
    await page.write("wrong");
    await page.press("Enter");
    await is(LEFT, ".name", /Credenciales inválidas/);
    assert.equal(await focus(), "password");
    // The browser notes a refusal in its log.
    const refusal = page.complaints.findIndex((complaint) => complaint.includes("401"));
    assert.ok(refusal >= 0);
    page.complaints.splice(refusal, 1);
  },

  async "two people log in with the keyboard alone and are connected"() {
    // Coming by Tab selects what a field holds, so writing replaces it.
    await page.press("Tab", { shift: true });
    await page.press("Tab");
    await page.write(password);
    await page.press("Enter");
    await is(LEFT, ".name", /Izel/);
    await page.until(`${RIGHT}.contains(document.activeElement)`, "the focus goes on to the other side");
    await page.press("Tab");
    await page.press("Tab", { shift: true });
    await page.write(people[1].phone);
    await page.press("Tab");
    await page.write(password);
    await page.press("Enter");
    await is(RIGHT, ".name", /Domingo/);
    for (const side of [LEFT, RIGHT]) {
      await is(side, ".state", /^live$/);
      assert.ok(await page.value(`${side}.querySelector(".login").offsetParent === null`), "nothing is left to log in");
    }
    await page.until(`${LEFT}.querySelector("[name=text]") === document.activeElement`, "the focus is where one writes");
  },

  async "each sees that the other is online"() {
    await is(LEFT, ".other", /Domingo is online/);
    await is(RIGHT, ".other", /Izel is online/);
  },

  async "who is writing is seen until the message is there"() {
    await tab(LEFT, "text");
    await page.write("¿Vende el toro");
    await is(RIGHT, ".typing", /Izel is writing/);
    await page.write("?");
    await page.press("Enter");
    await shows(RIGHT, "¿Vende el toro?");
    await is(RIGHT, ".typing", /^$/);
  },

  async "a message is sent, then delivered, and read when the other one looks"() {
    await is(LEFT, ".messages li:last-child small", /#1 · delivered/);
    await tab(RIGHT, "text");
    await is(LEFT, ".messages li:last-child small", /#1 · read/);
    await say(RIGHT, "Sí, es manso");
    await shows(LEFT, "Sí, es manso");
    await is(RIGHT, ".messages li:last-child small", /#2 · delivered/);
    await tab(LEFT, "text", true);
    await is(RIGHT, ".messages li:last-child small", /#2 · read/);
  },

  async "a side that is cut off hears nothing, and what it says waits"() {
    await tab(LEFT, "cut", true);
    await page.press("Enter");
    await is(LEFT, ".state", /^closed$/);
    await is(LEFT, ".cut", /^Connect again$/);
    assert.equal(await focus(), "cut", "the focus stays on the button");
    await tab(RIGHT, "text");
    for (const words of ["uno", "dos", "tres"]) await say(RIGHT, words);
    await shows(RIGHT, "tres");
    await is(RIGHT, ".messages li:last-child small", /#5 · sent/);
    await say(LEFT, "dicho sin red");
    await is(LEFT, ".messages li.waiting small", /waiting/);
    await is(RIGHT, ".other", /Izel is offline, last seen/);
    assert.deepEqual(await texts(LEFT, ":not(.waiting)"), ["¿Vende el toro?", "Sí, es manso"]);
  },

  async "after coming back the missed ones are there once and in order, and what waited is sent once"() {
    await tab(LEFT, "cut", true);
    await page.press(" ");
    await is(LEFT, ".state", /^live$/);
    await shows(RIGHT, "dicho sin red");
    await page.until(`!${LEFT}.querySelector(".waiting")`, "nothing waits any more");
    const all = ["¿Vende el toro?", "Sí, es manso", "uno", "dos", "tres", "dicho sin red"];
    assert.deepEqual(await texts(LEFT), all);
    assert.deepEqual(await texts(RIGHT), all);
    assert.deepEqual(await texts(LEFT, ".missed"), ["uno", "dos", "tres"]);
    await is(LEFT, ".missed small", /#3 · missed/);
    await is(RIGHT, ".other", /Izel is online/);
    await is(RIGHT, ".messages li:nth-child(5) small", /#5 · (delivered|read)/);
    await photograph("missed");
  },

  async "a page that is loaded again shows the same conversation"() {
    await page.goto(`${EDGE}/demo/chat?again`);
    for (const [index, side] of [LEFT, RIGHT].entries()) {
      await page.until(`!!${side}`, "the page is there");
      await page.value(`${side}.querySelector("[name=phone]").select(), ${side}.querySelector("[name=phone]").focus()`);
      await page.write(people[index].phone);
      await page.press("Tab");
      await page.write(password);
      await page.press("Enter");
      await page.until(`${side}.querySelector(".login").hidden`, "one is logged in");
    }
    for (const side of [LEFT, RIGHT]) {
      await is(side, ".state", /^live$/);
      assert.equal((await texts(side)).at(-1), "dicho sin red");
      assert.equal((await texts(side, ".missed")).length, 0);
    }
  },

  async "narrow screens show all of it without scrolling sideways"() {
    await say(LEFT, `https://example.com/${"muy-largo/".repeat(20)}`);
    for (const [width, height] of [[320, 568], [390, 844], [1100, 900]]) {
      await page.resize(width, height);
      const [inner, wide] = await page.value("[document.documentElement.clientWidth, document.documentElement.scrollWidth]");
      assert.ok(wide <= inner, `${wide} pixels on a screen of ${inner}`);
      await photograph(width);
    }
  },

  async "the page made no mistake and broke no policy"() {
    // Addresses of sockets have tokens in them, which are nobody's business.
    assert.deepEqual(page.complaints.map((complaint) => complaint.replace(/token=[\w.-]+/g, "token=…")), []);
  },
};

for (const [sentence, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${sentence}`);
  } catch (error) {
    console.log(`FAIL ${sentence}: ${String(error.message).split("\n")[0]}`);
    console.error(error);
    process.exitCode = 1;
    await photograph("failed");
    // Each goes on where the one before it ended.
    break;
  }
}
await page.close();
