/* program.h - what main.c and repl.c share: calls that survive errors and Ctrl-C. */
#ifndef LUR_PROGRAM_H
#define LUR_PROGRAM_H

#include <lua.h>
#include <stdbool.h>

/* lua_pcall with a message handler, and Ctrl-C as an error "interrupted" in between. Returns lua_pcall's status; on
   failure the message, ready to be shown, is on the stack. */
int lur_program_call(lua_State *L, int nargs, int nresults);
/* Whether the last call was stopped by Ctrl-C. */
bool lur_program_interrupted(void);
/* Writes "lurcher: message" to stderr and pops the message. */
void lur_program_report(lua_State *L);

/* Reads, evaluates and prints until the end of input. */
void lur_repl(lua_State *L);
/* completion.c: pushes a sorted list of what may follow the word (all that stands before the cursor), as whole words.
 */
int lur_complete(lua_State *L);
/* inspect.c: pushes a value's text as the REPL shows it. */
void lur_push_inspected(lua_State *L, int index);

#endif
