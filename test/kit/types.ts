/** What TypeScript says of a project with its own tsconfig.json: "file:line: TS2345 message", nothing if all is well. */
import { relative } from "node:path";
import ts from "typescript";

/** `only`: files to begin from, instead of all that the tsconfig includes. */
export function problemsOf(root: string, only?: readonly string[]): string[] {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (each: ts.Diagnostic) => fail(each) };
  const parsed = ts.getParsedCommandLineOfConfigFile(`${root}/tsconfig.json`, {}, host);
  if (parsed === undefined) throw new Error(`${root} has no tsconfig.json`);
  const program = ts.createProgram(only ? [...only] : parsed.fileNames, parsed.options);
  return [...parsed.errors, ...ts.getPreEmitDiagnostics(program)].map((each) => {
    const line = each.file ? each.file.getLineAndCharacterOfPosition(each.start ?? 0).line + 1 : 0;
    const place = each.file ? `${relative(root, each.file.fileName)}:${line}: ` : "";
    return `${place}TS${each.code} ${ts.flattenDiagnosticMessageText(each.messageText, " ")}`;
  });
}

function fail(each: ts.Diagnostic): never {
  throw new Error(ts.flattenDiagnosticMessageText(each.messageText, "\n"));
}
