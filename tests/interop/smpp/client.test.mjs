// node-smpp as an ESME, against the SMPP server that the environment names.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { after, before, beforeEach, test } from "node:test";
import smpp from "smpp";

const { SMPP_URL, SMPP_SYSTEM_ID, SMPP_PASSWORD, SMPP_SENDER } = process.env;
const { TRUNKLINE_BASE_URL, OUR_NUMBER, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN } = process.env;
const SECONDS = 10;
const RECEIPT = 0x04;
const UDHI = 0x40;
const UCS2 = 0x08;
const DELIVERED = 2;
const LONG = "👋नमस्ते".repeat(30);

let session;
let delivered = [];
const news = new EventEmitter();

function connect() {
  const made = smpp.connect({ url: SMPP_URL });
  made.on("error", (error) => assert.fail(error));
  return made;
}

function ask(command, fields, on = session) {
  return new Promise((answered) => on[command](fields, answered));
}

function submit(phone, fields) {
  return ask("submit_sm", {
    source_addr_ton: 3,
    source_addr: SMPP_SENDER,
    dest_addr_ton: 1,
    dest_addr_npi: 1,
    destination_addr: phone.slice(1),
    registered_delivery: 1,
    ...fields,
  });
}

async function taken(phone, fields) {
  const response = await submit(phone, fields);
  assert.equal(response.command_status, 0);
  return response.message_id;
}

// Wait until something is delivered for which the condition holds.
async function until(condition) {
  const late = new Promise((_, fail) => {
    setTimeout(() => fail(new Error(`still not so: ${condition}`)), SECONDS * 1000).unref();
  });
  for (;;) {
    const value = condition();
    if (value) return value;
    await Promise.race([late, once(news, "pdu")]);
  }
}

const receiptOf = (id) => until(() => delivered.find((pdu) => pdu.receipted_message_id === id));

async function call(path, form) {
  const credentials = Buffer.from(`${TWILIO_ACCOUNT_SID}:${TWILIO_AUTH_TOKEN}`).toString("base64");
  const response = await fetch(`${TRUNKLINE_BASE_URL}/trunkline/v1/phones/${path}`, {
    method: form ? "POST" : "GET",
    headers: { Authorization: `Basic ${credentials}` },
    body: form && new URLSearchParams(form),
  });
  assert.ok(response.ok, await response.clone().text());
  return response.json();
}

async function bodies(phone) {
  const { inbox } = await call(`${encodeURIComponent(phone)}/inbox`);
  return inbox.map((text) => text.body);
}

before(async () => {
  session = connect();
  session.on("deliver_sm", (pdu) => {
    session.send(pdu.response());
    delivered.push(pdu);
    news.emit("pdu");
  });
  const fields = { system_id: SMPP_SYSTEM_ID, password: SMPP_PASSWORD };
  const response = await ask("bind_transceiver", fields);
  assert.equal(response.command_status, 0);
});

beforeEach(() => (delivered = []));

after(async () => {
  await ask("unbind", {});
  session.close();
});

for (const [phone, text, data_coding] of [
  ["+15558675001", "Hello there", undefined],
  ["+15558675002", "Grüße @ {€}", 0],
  ["+15558675003", "नमस्ते 👋", undefined],
]) {
  test(`a text arrives and its receipt names it: ${text}`, async () => {
    const coding = data_coding === undefined ? {} : { data_coding };
    const id = await taken(phone, { short_message: text, ...coding });
    const receipt = await receiptOf(id);
    assert.equal(receipt.esm_class, RECEIPT);
    assert.equal(receipt.message_state, DELIVERED);
    assert.ok(receipt.short_message.message.startsWith(`id:${id} sub:001 dlvrd:001 `));
    assert.equal(receipt.source_addr, phone.slice(1));
    assert.equal(receipt.destination_addr, SMPP_SENDER);
    assert.deepEqual(await bodies(phone), [text]);
  });
}

test("parts behind headers become one text, and each has a receipt", async () => {
  const phone = "+15558675004";
  const octets = Buffer.from(LONG, "utf16le").swap16();
  const parts = [];
  for (let at = 0; at < octets.length; at += 130) parts.push(octets.subarray(at, at + 130));
  const sent = parts.map((message, index) => {
    const udh = Buffer.from([6, 8, 4, 0x12, 0x34, parts.length, index + 1]);
    const short_message = Buffer.concat([udh, message]);
    return taken(phone, { esm_class: UDHI, data_coding: UCS2, short_message });
  });
  const ids = await Promise.all(sent);
  const receipts = await Promise.all(ids.map(receiptOf));
  assert.deepEqual(new Set(receipts.map((pdu) => pdu.message_state)), new Set([DELIVERED]));
  assert.equal(new Set(ids).size, parts.length);
  assert.deepEqual(await bodies(phone), [LONG]);
});

test("a text in message_payload is one message", async () => {
  const phone = "+15558675005";
  const message_payload = Buffer.from(LONG, "utf16le").swap16();
  await receiptOf(await taken(phone, { data_coding: UCS2, message_payload }));
  assert.deepEqual(await bodies(phone), [LONG]);
});

test("submit_multi reaches every phone", async () => {
  const phones = ["+15558675006", "+15558675007"];
  const response = await ask("submit_multi", {
    source_addr_ton: 3,
    source_addr: SMPP_SENDER,
    dest_address: phones.map((phone) => ({
      dest_addr_ton: 1,
      dest_addr_npi: 1,
      destination_addr: phone.slice(1),
    })),
    registered_delivery: 1,
    short_message: "To all of you",
  });
  assert.equal(response.command_status, 0);
  assert.deepEqual(response.unsuccess_sme, []);
  const from = (phone) => delivered.some((pdu) => pdu.source_addr === phone.slice(1));
  await until(() => phones.every(from));
  for (const phone of phones) assert.deepEqual(await bodies(phone), ["To all of you"]);
});

test("query_sm tells the state", async () => {
  const id = await taken("+15558675008", { short_message: "How is it?" });
  await receiptOf(id);
  const fields = { message_id: id, source_addr_ton: 3, source_addr: SMPP_SENDER };
  const response = await ask("query_sm", fields);
  assert.equal(response.command_status, 0);
  assert.equal(response.message_id, id);
  assert.equal(response.message_state, DELIVERED);
});

for (const text of ["Grüße @ {€}", "नमस्ते 👋"]) {
  test(`what a phone says is delivered: ${text}`, async () => {
    const phone = "+15558675009";
    await call(`${encodeURIComponent(phone)}/texts`, { To: OUR_NUMBER, Body: text });
    const pdu = await until(() => delivered.find((found) => !(found.esm_class & RECEIPT)));
    assert.equal(pdu.short_message.message, text);
    assert.equal(pdu.source_addr, phone.slice(1));
    assert.equal(pdu.destination_addr, OUR_NUMBER.slice(1));
  });
}

test("a wrong password is refused", async () => {
  const stranger = connect();
  const fields = { system_id: SMPP_SYSTEM_ID, password: "wrong" };
  const response = await ask("bind_transceiver", fields, stranger);
  assert.equal(response.command_status, smpp.ESME_RINVPASWD);
  stranger.destroy();
});
