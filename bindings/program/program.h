/* program.h - what the files of the program give to each other. main.c -> repl.c -> call.c, completion.c, inspect.c. */
#ifndef LUR_PROGRAM_H
#define LUR_PROGRAM_H

#include <lua.h>
#include <stdbool.h>

/* ---- call.c ---- */

/* Once, before the first call: the thread that signals are handled on, and their stack. */
void lur_program_prepare(void);
/* Once, when the state has its libraries: Ctrl-C reaches its context from now on, until it is closed. */
void lur_program_attach(lua_State *L);
/* Errors get a traceback. */
void lur_program_set_trace(bool trace);
bool lur_program_is_traced(void);
/* What is called from now on was typed at the prompt, or was not. */
void lur_program_set_prompt(lua_State *L, bool there);
/* lua_pcall with a message handler, and with Ctrl-C raising the error "interrupted". Returns lua_pcall's status; on
   failure the message, ready to be shown, is on the stack. */
int lur_program_call(lua_State *L, int nargs, int nresults);
/* Whether the message of the last call's error has a traceback, and so several lines. */
bool lur_program_error_has_traceback(void);
/* Whether Ctrl-C interrupted the last call. */
bool lur_program_interrupted(void);

/* ---- version.c ---- */

/* Prints what a report of a fault needs. Returns a process status. */
int lur_program_describe(void);

/* ---- output.c ---- */

/* Once, first of all: at exit, a failure to write standard output is reported, and the exit code is 1. */
void lur_program_watch_output(void);

/* ---- paths.c ---- */

/* Once, when the state has its libraries: where `require` looks for modules of recipes, or of scripts. */
void lur_program_set_paths(lua_State *L, bool recipe);
/* The folder of a script comes before all else. */
void lur_program_search_beside(lua_State *L, const char *script);
/* From now on, where each module is found is written to stderr. */
void lur_program_trace_modules(lua_State *L);

/* ---- repl.c ---- */

/* Reads, evaluates and prints until the end of input. */
void lur_repl(lua_State *L);

/* ---- completion.c ---- */

/* Arguments: a word, all that precedes the cursor; whether a quote precedes it. Pushes a sorted list of what may
   replace it. */
int lur_complete(lua_State *L);

/* ---- inspect.c ---- */

/* Pushes a value's text as the REPL shows it. */
void lur_push_inspected(lua_State *L, int index);

#endif
