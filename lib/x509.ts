/**
 * Certificates of a private authority: node:crypto reads X.509 and cannot make it. The one shape that mutual TLS between
 * known parties needs (RFC 5280, version 3): keys of P-256, signed with ECDSA and SHA-256, a name that is a URI.
 *
 *     const authority = makeAuthority({ name: "our nodes", from, until });
 *     const west = issue(authority, { name: "west", uri: "cage://node/west", from, until });
 *
 * All in PEM. The packages that make certificates bring twenty others along, or a decade of formats; what is written here
 * is a page, and is read back by OpenSSL before it is given out.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomInt,
  sign,
  X509Certificate,
} from "node:crypto";

export interface Certified {
  readonly cert: string;
  /** The private key, PKCS #8. */
  readonly key: string;
}

export interface Wanted {
  /** The common name; nobody decides by it. */
  readonly name: string;
  readonly from: Date;
  readonly until: Date;
}

/** It signs others, and none of those signs any. */
export function makeAuthority(wanted: Wanted): Certified {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const extensions = [
    extension(oids.basicConstraints, critical, sequence(boolean, integer(Buffer.of(0)))),
    extension(oids.keyUsage, critical, bits(Buffer.of(usages.keyCertSign | usages.crlSign), 1)),
  ];
  return made(wanted, extensions, publicKey, privateKey, { name: wanted.name, publicKey, privateKey });
}

/** For both sides of TLS. Throws when the authority is none, or not of `makeAuthority`. */
export function issue(authority: Certified, wanted: Wanted & { readonly uri: string }): Certified {
  const issuer = new X509Certificate(authority.cert);
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const extensions = [
    extension(oids.basicConstraints, critical, sequence()),
    extension(oids.keyUsage, critical, bits(Buffer.of(usages.digitalSignature), 7)),
    extension(oids.extendedKeyUsage, sequence(oid(oids.serverAuth), oid(oids.clientAuth))),
    extension(oids.subjectAltName, sequence(tagged(0x86, Buffer.from(wanted.uri, "latin1")))),
  ];
  const issued = made(wanted, extensions, publicKey, privateKey, {
    name: issuer.subject.replace(/^CN=/, ""),
    publicKey: issuer.publicKey,
    privateKey: createPrivateKey(authority.key),
  });
  const certificate = new X509Certificate(issued.cert);
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey))
    throw new Error("the authority's certificate and key do not fit each other, or were not made here");
  return issued;
}

interface Issuer {
  readonly name: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

function made(
  { name, from, until }: Wanted,
  extensions: readonly Buffer[],
  publicKey: KeyObject,
  privateKey: KeyObject,
  issuer: Issuer,
): Certified {
  const body = sequence(
    tagged(0xa0, integer(Buffer.of(2))),
    // Never twice: chance enough. A first byte from 0x40 to 0x7f makes it positive, and no shorter.
    integer(Buffer.concat([Buffer.of(randomInt(0x40, 0x80)), randomBytes(15)])),
    sequence(oid(oids.ecdsaWithSha256)),
    nameOf(issuer.name),
    sequence(time(from), time(until)),
    nameOf(name),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(
      0xa3,
      sequence(
        ...extensions,
        extension(oids.subjectKeyIdentifier, tagged(0x04, identifier(publicKey))),
        extension(oids.authorityKeyIdentifier, sequence(tagged(0x80, identifier(issuer.publicKey)))),
      ),
    ),
  );
  const certificate = sequence(
    body,
    sequence(oid(oids.ecdsaWithSha256)),
    bits(sign("sha256", body, issuer.privateKey), 0),
  );
  return { cert: pem(certificate), key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

// --- DER (X.690): tag, length, content ----------------------------------------------------------------------------

const oids = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** Bits of the first byte, from the left. */
const usages = { digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02 } as const;

function tagged(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => tagged(0x30, ...parts);
const integer = (bytes: Buffer): Buffer => tagged(0x02, bytes);
const boolean = tagged(0x01, Buffer.of(0xff));
const critical = boolean;
const bits = (bytes: Buffer, unused: number): Buffer => tagged(0x03, Buffer.of(unused), bytes);

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((number) => {
    const septets = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) septets.unshift(0x80 | (left & 0x7f));
    return septets;
  });
  return tagged(0x06, Buffer.from(bytes));
}

const extension = (id: string, ...rest: readonly [Buffer] | readonly [Buffer, Buffer]): Buffer =>
  sequence(oid(id), ...rest.slice(0, -1), tagged(0x04, rest.at(-1) as Buffer));

const nameOf = (common: string): Buffer =>
  sequence(tagged(0x31, sequence(oid(oids.commonName), tagged(0x0c, Buffer.from(common)))));

/** In seconds; of the two forms the one that the year asks for (RFC 5280, 4.1.2.5). */
function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/\D/g, "").slice(0, 14)}Z`;
  return date.getUTCFullYear() < 2050 ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits));
}

/** RFC 7093: 160 bits of a hash of the key. */
const identifier = (key: KeyObject): Buffer =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest()
    .subarray(0, 20);

const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`;
