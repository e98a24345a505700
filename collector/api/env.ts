/** The types of the Hono application: what each request carries through the middleware. */
import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Principal } from '../access/principal.ts';

export interface ApiVariables {
  /** Null on what needs nobody. */
  principal: Principal | null;
  /** Who the request comes from, as a trusted proxy says where there is one. */
  address: string;
}

export interface ApiEnv {
  Bindings: HttpBindings & {
    /** To be called when a request has shown which person it comes from. Left out where no server stands before the app. */
    shown?: ((person: string) => void) | undefined;
  };
  Variables: ApiVariables;
}
export type ApiApp = OpenAPIHono<ApiEnv>;
