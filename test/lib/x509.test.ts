import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { issue, makeAuthority } from "../../lib/x509.ts";
import { needing } from "../kit/needs.ts";

const openssl = needing("openssl");
const span = { from: new Date("2026-01-02T03:04:05Z"), until: new Date("2049-12-31T23:59:59Z") };
const uri = "cage://node/west";

describe("a certificate", () => {
  const authority = makeAuthority({ name: "our nodes", ...span });
  const ca = new X509Certificate(authority.cert);

  it("says what it was made of, and its key fits", () => {
    const made = issue(authority, { name: "west", uri, ...span });
    const certificate = new X509Certificate(made.cert);
    expect(certificate.subject).toBe("CN=west");
    expect(certificate.issuer).toBe("CN=our nodes");
    expect(certificate.subjectAltName).toBe("URI:cage://node/west");
    expect(new Date(certificate.validFrom)).toEqual(span.from);
    expect(new Date(certificate.validTo)).toEqual(span.until);
    expect(certificate.ca).toBe(false);
    expect(certificate.checkIssued(ca) && certificate.verify(ca.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(made.key))).toBe(true);
    expect(ca.ca && ca.verify(ca.publicKey)).toBe(true);
  });

  it("may last beyond 2050, where times are written otherwise", () => {
    const until = new Date("2051-06-01T00:00:00Z");
    const made = issue(authority, { name: "west", uri, from: span.from, until });
    expect(new Date(new X509Certificate(made.cert).validTo)).toEqual(until);
  });

  it("has a positive number of its own, whatever chance says", () => {
    const numbers = Array.from(
      { length: 50 },
      () => new X509Certificate(issue(authority, { name: "n", uri, ...span }).cert).serialNumber,
    );
    expect(new Set(numbers).size).toBe(50);
    for (const number of numbers) expect(number).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it("bears names longer than a byte counts", () => {
    const long = `cage://node/${"x".repeat(300)}`;
    const { cert } = issue(authority, { name: "long", uri: long, ...span });
    expect(new X509Certificate(cert).subjectAltName).toBe(`URI:${long}`);
  });

  it("is not given out by an authority whose key is another one's", () => {
    const other = makeAuthority({ name: "our nodes", ...span });
    expect(() => issue({ cert: authority.cert, key: other.key }, { name: "west", uri, ...span })).toThrow(
      "do not fit each other",
    );
  });
});

openssl.describe("OpenSSL", () => {
  it("finds no fault in one by the strict rules, for either side of TLS", () => {
    const folder = mkdtempSync(join(tmpdir(), "x509-"));
    try {
      const authority = makeAuthority({ name: "our nodes", ...span });
      const { cert } = issue(authority, { name: "west", uri, ...span });
      const [ca, west] = [join(folder, "ca.pem"), join(folder, "west.pem")] as const;
      writeFileSync(ca, authority.cert);
      writeFileSync(west, cert);
      for (const purpose of ["sslserver", "sslclient"]) {
        const said = execFileSync("openssl", [
          "verify",
          "-x509_strict",
          "-purpose",
          purpose,
          "-CAfile",
          ca,
          west,
        ]).toString();
        expect(said).toContain("OK");
      }
      const text = execFileSync("openssl", ["x509", "-in", west, "-noout", "-text"]).toString();
      expect(text).not.toContain("Negative");
      expect(text).toContain("TLS Web Server Authentication, TLS Web Client Authentication");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
