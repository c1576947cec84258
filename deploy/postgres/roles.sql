-- The roles and the database of Portico, once, as a superuser:
--   psql --set=owner_password=… --set=app_password=… --file=roles.sql
-- The statements are those of src/db/roles.ts; a test holds the two together.
\set ON_ERROR_STOP on
create role portico_owner login password :'owner_password' nosuperuser nocreatedb nocreaterole nobypassrls;
create role portico_app login password :'app_password' nosuperuser nocreatedb nocreaterole nobypassrls;
create role portico_lookup nologin nosuperuser nobypassrls;
grant portico_lookup to portico_owner;
create database portico owner portico_owner;
