// A grpc-web client as a mobile app or a page has it: connect's grpc-web transport over HTTP/1.1, with code generated
// from proto/. Two checks at the end speak HTTP by hand, because no client sends what they send.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http2 from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { create, toBinary } from "@bufbuild/protobuf";

const { EDGE, GENERATED } = process.env;
const generated = (file) => import(`${GENERATED}/${file}_pb.js`);
const { AccountService, PasswordRule } = await generated("plaza/auth/v1/account");
const { SessionService } = await generated("plaza/auth/v1/session");
const { UserService } = await generated("plaza/users/v1/user");
const { MediaService, Folder, Kind, UploadMediaRequestSchema } = await generated("plaza/media/v1/media");
const { ChatService } = await generated("plaza/chat/v1/chat");
const { RoomService } = await generated("plaza/chat/v1/room");
const { RoomKind } = await generated("plaza/chat/v1/kind");
const { Role } = await generated("plaza/access/v1/access");
const { BadRequestSchema, ErrorInfoSchema } = await generated("google/rpc/error_details");

const transport = createGrpcWebTransport({ baseUrl: EDGE, httpVersion: "1.1", defaultTimeoutMs: 20_000 });
const services = [AccountService, SessionService, UserService, MediaService, ChatService, RoomService];
const [accounts, sessions, users, media, chat, rooms] = services.map((service) => createClient(service, transport));

// Pages of Agrovet and of Conectar, as their frontends run during development.
const ORIGINS = ["http://localhost:5173", "http://localhost:3000"];
const email = `web.${randomBytes(4).toString("hex")}@example.com`;
const password = "Caballo7bateria";
const me = { id: "", headers: {} };
const room = { key: { case: "id", value: "" } };

/** The error that a call ends with. */
async function refusal(call) {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("was not refused");
}

const reason = (error) => error.findDetails(ErrorInfoSchema).map((info) => info.reason);

const checks = {
  async "a person registers and logs in over grpc-web"() {
    await accounts.register({
      email,
      password,
      passwordRule: PasswordRule.MIXED,
      role: Role.CLIENT,
      profile: { firstName: "Ñandú", lastName: "Peña 🐎" },
    });
    const answer = await sessions.logIn({ login: { case: "email", value: email }, password });
    me.id = answer.userId;
    me.headers = { authorization: `Bearer ${answer.tokens.accessToken}` };
    assert.equal(typeof answer.userNumber, "bigint");
    assert.deepEqual(answer.roles, [Role.CLIENT]);
  },

  async "a person is read with the token over grpc-web"() {
    const person = await users.getUser({ key: { case: "id", value: me.id } }, { headers: me.headers });
    assert.deepEqual([person.firstName, person.lastName, person.email], ["Ñandú", "Peña 🐎", email]);
  },

  async "a refusal carries its reason over grpc-web"() {
    const error = await refusal(sessions.logIn({ login: { case: "email", value: email }, password: "wrong" }));
    assert.equal(error.code, Code.Unauthenticated);
    assert.deepEqual(reason(error), ["BAD_CREDENTIALS"]);
  },

  async "broken field rules come back by field over grpc-web"() {
    const error = await refusal(users.updateUser({ id: me.id, bio: "x".repeat(5001) }, { headers: me.headers }));
    assert.equal(error.code, Code.InvalidArgument);
    assert.deepEqual(reason(error), ["INVALID_FIELDS"]);
    const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    assert.deepEqual(violations.map((v) => [v.field, v.reason]), [["bio", "string.max_len"]]);
  },

  async "what is between services is refused over grpc-web"() {
    const call = users.provisionUser({ id: me.id, number: 1n, version: 99n }, { headers: me.headers });
    const error = await refusal(call);
    assert.ok([Code.Unimplemented, Code.PermissionDenied].includes(error.code), Code[error.code]);
  },

  async "a file streams down over grpc-web as it went up over rest"() {
    const sound = wav(6);
    const form = new FormData();
    form.set("file", new Blob([sound], { type: "audio/wav" }), "voz.wav");
    form.set("name", "voz");
    const upload = await fetch(`${EDGE}/api/media/`, { method: "POST", headers: me.headers, body: form });
    const stored = await upload.json();
    assert.equal(upload.status, 201, JSON.stringify(stored));

    const file = await media.getMedia({ key: { case: "number", value: BigInt(stored.id) } }, { headers: me.headers });
    assert.equal(file.kind, Kind.AUDIO);
    const parts = [];
    for await (const { part } of media.readFile({ path: file.path }, { headers: me.headers })) parts.push(part);
    assert.equal(parts[0].case, "header");
    assert.ok(parts.length > 2, "it came in one piece");
    const content = Buffer.concat(parts.slice(1).map((part) => part.value));
    assert.ok(content.equals(sound), `${content.length} bytes came, ${sound.length} were expected, and they differ`);
  },

  async "what is said in a room streams down over grpc-web"() {
    const login = { email: `other.${email}`, password };
    const profile = { firstName: "Otra" };
    await accounts.register({ ...login, passwordRule: PasswordRule.MIXED, role: Role.CLIENT, profile });
    const other = await sessions.logIn({ login: { case: "email", value: login.email }, password });
    const users = [{ key: { case: "id", value: other.userId } }];
    const opened = await rooms.openPair({ kind: RoomKind.PAIR, users }, { headers: me.headers });
    room.key.value = opened.room.id;

    // The second is sent once the first was heard: no frame waits for the stream's end.
    const said = ["¿Sigue en venta el toro? 🐂", "¿Y la vaca?"];
    const [cases, heard, sent, over] = [[], [], [], new AbortController()];
    const headers = { authorization: `Bearer ${other.tokens.accessToken}` };
    for await (const { frame } of chat.subscribe({ open: { room } }, { headers, signal: over.signal })) {
      cases.push(frame.case);
      if (frame.case === "message") heard.push(frame.value.id);
      if (heard.length === said.length) break;
      if (heard.length === sent.length && frame.case !== "opened") {
        const draft = { text: said[sent.length] };
        sent.push(await chat.sendMessage({ room, draft }, { headers: me.headers }));
      }
    }
    over.abort();
    assert.deepEqual(cases, ["opened", "live", "message", "message"]);
    assert.deepEqual(sent.map(({ message }) => message.text), said);
    assert.deepEqual(heard, sent.map(({ message }) => message.id));
  },

  async "a message that is sent again under its name is one over grpc-web"() {
    const draft = { text: "Una sola vez", clientMsgId: "web-1" };
    const send = () => chat.sendMessage({ room, draft }, { headers: me.headers });
    const [first, again] = [await send(), await send()];
    assert.deepEqual([first.created, again.created], [true, false]);
    assert.equal(again.message.id, first.message.id);
  },

  async "a room is refused to strangers before the first frame over grpc-web"() {
    const nowhere = { key: { case: "number", value: 1n << 40n } };
    const refusals = (room, headers) => [
      refusal(chat.subscribe({ open: { room } }, { headers })[Symbol.asyncIterator]().next()),
      refusal(chat.sendMessage({ room, draft: { text: "¿Hola?" } }, { headers })),
    ];
    for (const error of await Promise.all(refusals(nowhere, me.headers))) {
      assert.equal(error.code, Code.NotFound);
      assert.deepEqual(reason(error), ["ROOM_NOT_FOUND"]);
    }
    for (const error of await Promise.all(refusals(room, {}))) assert.equal(error.code, Code.Unauthenticated);
  },

  async "pages of both communities may call grpc-web and see the trailers"() {
    for (const origin of ORIGINS) {
      const preflight = await fetch(`${EDGE}/plaza.users.v1.UserService/GetUser`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent",
        },
      });
      assert.ok(preflight.ok, `${origin}: ${preflight.status}`);
      assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
      assert.match(preflight.headers.get("access-control-allow-methods"), /POST/);
      const headers = preflight.headers.get("access-control-allow-headers").toLowerCase();
      for (const name of ["authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"]) {
        assert.ok(headers.includes(name), `${origin}: ${name} is not in ${headers}`);
      }

      // An error without a body has its status in the headers, which a page sees only if they are exposed.
      const call = await fetch(`${EDGE}/plaza.users.v1.UserService/GetUser`, {
        method: "POST",
        headers: { origin, "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
        body: new Uint8Array(5),
      });
      await call.arrayBuffer();
      assert.equal(call.headers.get("access-control-allow-origin"), origin);
      const exposed = (call.headers.get("access-control-expose-headers") ?? "").toLowerCase();
      for (const name of ["grpc-status", "grpc-message", "grpc-status-details-bin"]) {
        assert.ok(exposed.includes(name), `${name} is not in ${exposed}`);
      }
    }
  },

  async "a page of elsewhere is not allowed grpc-web"() {
    const preflight = await fetch(`${EDGE}/plaza.users.v1.UserService/GetUser`, {
      method: "OPTIONS",
      headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
    });
    assert.equal(preflight.headers.get("access-control-allow-origin"), null);
  },

  // grpcio and connect end a call by their own clocks too; here only the server can.
  async "the server itself ends a call at its deadline"() {
    const header = create(UploadMediaRequestSchema, {
      part: { case: "header", value: { fileName: "a.wav", folder: Folder.CHAT, fileRequired: true } },
    });
    const started = Date.now();
    const status = await hangingCall("/plaza.media.v1.MediaService/UploadMedia", {
      ...me.headers,
      "grpc-timeout": "300m",
    }, toBinary(UploadMediaRequestSchema, header));
    assert.equal(status, Code.DeadlineExceeded);
    const took = Date.now() - started;
    assert.ok(took >= 250 && took < 2000, `took ${took} ms`);
  },
};

/** Sends one message of a stream, never its end, and waits for the status. */
function hangingCall(path, headers, message) {
  const session = http2.connect(EDGE);
  const call = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  return new Promise((resolve, reject) => {
    const status = (headers) => "grpc-status" in headers && resolve(Number(headers["grpc-status"]));
    call.on("response", status);
    call.on("trailers", status);
    call.on("error", reject);
    session.on("error", reject);
    setTimeout(() => reject(new Error("no status within 5 s")), 5000).unref();
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    call.write(frame);
    call.resume();
  }).finally(() => session.destroy());
}

/** A sound of noise: its bytes are nowhere alike, so that a lost or doubled chunk shows. */
function wav(seconds) {
  const samples = randomBytes(seconds * 88_200);
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(44_100, 24);
  head.writeUInt32LE(88_200, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

for (const [sentence, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${sentence}`);
  } catch (error) {
    console.log(`FAIL ${sentence}: ${String(error.message).split("\n")[0]}`);
    console.error(error);
    process.exitCode = 1;
  }
}
