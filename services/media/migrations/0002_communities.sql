-- A folder for the pictures of the forum's communities.
alter table files drop constraint files_folder_known;
alter table files add constraint files_folder_known check (
    folder in ('media', 'portfolio', 'products', 'verification', 'chat', 'profiles', 'avatars', 'communities')
);
