// A small shop that texts its customers about their orders, and learns whom it has reached.
//
//   POST /orders     customer=+15558675310 places an order
//   POST /orders/1   takes order 1 a step further
//   GET  /orders/1   shows it
//   POST /status     takes status callbacks, which are signed

const { createServer } = require("node:http");
const twilio = require("twilio");

const TEXTS = {
  placed: "Thank you! We have your order {number}.",
  shipped: "Your order {number} is on its way.",
  delivered: "Your order {number} is at your door. Enjoy!",
};
const FINAL = ["delivered", "undelivered", "failed"];
const BODY_MAX = 64_000; // Bytes; a callback has less than one thousand.

const PORT = Number(process.env.PORT ?? 3000);
const URL_HERE = `http://127.0.0.1:${PORT}`;
const SENDER = process.env.TWILIO_PHONE_NUMBER ?? "+14155550100";

// The client reads TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
const client = twilio();
client.api.baseUrl = process.env.TRUNKLINE_URL ?? "http://127.0.0.1:8800";

// Of each order: its number, the customer, and for each of its steps what became of the text.
const orders = new Map();

async function advance(order) {
  const step = Object.keys(TEXTS).find((step) => !(step in order.texts));
  // Noted first: callbacks may be here before create() returns.
  order.texts[step] = "queued";
  try {
    await client.messages.create({
      to: order.customer,
      from: SENDER,
      body: TEXTS[step].replace("{number}", order.number),
      statusCallback: `${URL_HERE}/status?order=${order.number}&step=${step}`,
    });
  } catch (error) {
    if (!error.code) throw error;
    note(order, step, "failed", error.message);
  }
}

// Who was not reached has to be called.
function note(order, step, status, reason = "") {
  if (FINAL.includes(order.texts[step])) return;
  order.texts[step] = status;
  console.log(`Order ${order.number} ${step}: the text is ${status} ${reason}`.trimEnd());
  if (["undelivered", "failed"].includes(status))
    console.log(`Order ${order.number}: please call ${order.customer}`);
}

// Whoever tells a status must know the auth token.
function takeCallback(request, url, form) {
  const signature = request.headers["x-twilio-signature"] ?? "";
  const token = process.env.TWILIO_AUTH_TOKEN;
  if (!twilio.validateRequest(token, signature, URL_HERE + request.url, form)) return [403];
  const order = orders.get(url.searchParams.get("order"));
  // No order: it is from before the shop was started.
  if (order) note(order, url.searchParams.get("step"), form.MessageStatus, form.ErrorCode);
  return [204];
}

async function answer(request, form) {
  const url = new URL(request.url, URL_HERE);
  const [room, number] = url.pathname.slice(1).split("/");
  if (request.method === "POST" && room === "status") return takeCallback(request, url, form);
  if (request.method === "POST" && room === "orders" && !number && form.customer) {
    const order = { number: orders.size + 1, customer: form.customer, texts: {} };
    orders.set(String(order.number), order);
    await advance(order);
    return [201, order];
  }
  const order = room === "orders" && orders.get(number);
  if (!order) return [404];
  if (request.method === "POST") {
    if (Object.keys(order.texts).length === Object.keys(TEXTS).length) return [409];
    await advance(order);
  }
  return [200, order];
}

const server = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) {
    body += piece;
    if (body.length > BODY_MAX) return response.writeHead(413).end();
  }
  const form = Object.fromEntries(new URLSearchParams(body));
  const [status, order] = await answer(request, form);
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(order && `${JSON.stringify(order)}\n`);
});

server.listen(PORT, "127.0.0.1", () => console.log(`The shop is open at ${URL_HERE}`));
