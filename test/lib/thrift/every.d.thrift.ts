// Made from every.thrift by `npx tsx lib/thrift/declare.ts every.thrift`; do not edit.

import type { Idl } from "#lib/thrift/typed.ts";
import type * as shared from "./shared.thrift";

export type Millis = number;

export type Path = readonly shared.Point[];

export type Palette = Readonly<Record<string, readonly Color[]>>;

/** Colours of things. */
export type Color = 0 | 4 | 5 | -1;

export interface Scalars {
  readonly flag: boolean;
  readonly tiny: number;
  readonly small: number;
  readonly short_: number;
  readonly medium: number;
  readonly large: bigint;
  readonly at: Millis;
  readonly real: number;
  readonly text: string;
  readonly blob: Uint8Array;
  readonly color: Color;
}

export interface Containers {
  readonly numbers?: readonly number[] | undefined;
  readonly words?: ReadonlySet<string> | undefined;
  readonly ages?: Readonly<Record<string, number>> | undefined;
  readonly names?: ReadonlyMap<number, readonly string[]> | undefined;
  readonly rows?: readonly Readonly<Record<string, Scalars>>[] | undefined;
  readonly colors?: ReadonlyMap<shared.Point, Color> | undefined;
  readonly bits?: readonly (readonly boolean[])[] | undefined;
  readonly ids?: ReadonlySet<bigint> | undefined;
  readonly palette?: Palette | undefined;
}

export interface Node {
  readonly name: string;
  readonly children?: readonly Node[] | undefined;
  readonly weight?: number | undefined;
  readonly far?: string | undefined;
}

export interface Defaults {
  readonly count?: number | undefined;
  readonly name?: string | undefined;
  readonly color?: Color | undefined;
  readonly primes?: readonly number[] | undefined;
  readonly on?: boolean | undefined;
  readonly ratio?: number | undefined;
  readonly at?: shared.Point | undefined;
}

export type Shape =
  | { readonly kind: "point"; readonly value: shared.Point }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "path"; readonly value: readonly shared.Point[] };

export interface Empty {}

export interface Refused {
  readonly code: string;
  readonly message: string;
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

export interface Gone {
  readonly since: bigint;
}

export interface EchoClient extends shared.BaseClient {
  readonly scalars: (value: Scalars) => Promise<Scalars>;
  readonly containers: (value: Containers) => Promise<Containers>;
  readonly node: (value: Node) => Promise<Node>;
  readonly defaults: (value: Defaults) => Promise<Defaults>;
  readonly shape: (value: Shape) => Promise<Shape>;
  readonly empty: (value: Empty) => Promise<Empty>;
  readonly text: (value: string) => Promise<string>;
  readonly blob: (value: Uint8Array) => Promise<Uint8Array>;
  readonly real: (value: number) => Promise<number>;
  readonly flag: (value: boolean) => Promise<boolean>;
  readonly large: (value: bigint) => Promise<bigint>;
  readonly numbers: (value: readonly number[]) => Promise<readonly number[]>;
  readonly nothing: () => Promise<void>;
  readonly refuse: (how: string) => Promise<void>;
  readonly fail: (how: string) => Promise<number>;
  readonly tell: (what: string) => Promise<void>;
  readonly told: () => Promise<readonly string[]>;
}

export interface EchoHandler extends shared.BaseHandler {
  readonly scalars: (value: Scalars) => Scalars | Promise<Scalars>;
  readonly containers: (value: Containers) => Containers | Promise<Containers>;
  readonly node: (value: Node) => Node | Promise<Node>;
  readonly defaults: (value: Defaults) => Defaults | Promise<Defaults>;
  readonly shape: (value: Shape) => Shape | Promise<Shape>;
  readonly empty: (value: Empty) => Empty | Promise<Empty>;
  readonly text: (value: string) => string | Promise<string>;
  readonly blob: (value: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  readonly real: (value: number) => number | Promise<number>;
  readonly flag: (value: boolean) => boolean | Promise<boolean>;
  readonly large: (value: bigint) => bigint | Promise<bigint>;
  readonly numbers: (value: readonly number[]) => readonly number[] | Promise<readonly number[]>;
  readonly nothing: () => void | Promise<void>;
  readonly refuse: (how: string) => void | Promise<void>;
  readonly fail: (how: string) => number | Promise<number>;
  readonly tell: (what: string) => void | Promise<void>;
  readonly told: () => readonly string[] | Promise<readonly string[]>;
}

declare const idl: Idl<{
  readonly Echo: EchoClient;
}, {
  readonly Color: { readonly RED: 0; readonly GREEN: 4; readonly BLUE: 5; readonly DARK: -1 };
  readonly HEX: number;
  readonly FAR: bigint;
  readonly TENTH: number;
  readonly QUOTED: string;
  readonly PRIMES: readonly number[];
  readonly AGES: Readonly<Record<string, number>>;
  readonly ORIGIN: shared.Point;
}>;
export default idl;
